"""Writing checkpoints in the layout of the released JaColBERT models, whole or not at all."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense
from torch import nn
from transformers import PreTrainedModel

from .checkpoints import ColBERTSettings
from .errors import InputError
from .tokenization import JapaneseTokenizer
from .transformer import ColBERTTransformer


def save_stanford(model: MultiVectorEncoder, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Writes the layout of the released JaColBERT models, whole or not at all.

    Raises:
        InputError: If the model is none that this layout can hold (one projection without bias
            over a transformer of ours).
    """
    modules = list(model.children())
    transformer, projections = modules[0], [m for m in modules if isinstance(m, Dense)]
    plain = len(projections) == 1 and not projections[0].bias and not projections[0].use_residual
    if not isinstance(transformer, ColBERTTransformer) or not plain:
        raise InputError(
            "the Stanford layout holds one transformer with ColBERT markers and one projection without bias, but this "
            f"model is {[type(m).__name__ for m in modules]}. Save it with model.model.save_pretrained instead."
        )
    if prompts := {name: text for name, text in model.prompts.items() if text}:
        raise InputError(
            f"the Stanford layout has no place for the prompts {prompts}; use model.model.save_pretrained."
        )
    backbone = transformer.auto_model
    settings = replace(transformer.settings, query_length=transformer.query_length_rule)
    with whole_directory(path) as folder:
        _write_stanford(folder, backbone, projections[0].linear, settings, dtype)
        transformer.hf_tokenizer.save_pretrained(folder)


def save_scratch(
    path: Path,
    backbone: PreTrainedModel,
    projection: nn.Linear,
    tokenizer: JapaneseTokenizer,
    settings: ColBERTSettings,
) -> None:
    """Writes parts that were never loaded from anywhere as a checkpoint, so that they can be."""
    with whole_directory(path) as folder:
        _write_stanford(folder, backbone, projection, settings, torch.float32)
        tokenizer.save_pretrained(folder)


def _write_stanford(
    folder: Path, backbone: PreTrainedModel, projection: nn.Linear, settings: ColBERTSettings, dtype: torch.dtype
) -> None:
    tensors = {f"{backbone.base_model_prefix}.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors["linear.weight"] = projection.weight
    save_file(
        {name: tensor.detach().to("cpu", dtype).contiguous().clone() for name, tensor in tensors.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes files that nobody else can read
    names = {"architectures": ["HF_ColBERT"], "dtype": str(dtype).removeprefix("torch.")}
    config = backbone.config.to_dict() | names
    config.pop("_name_or_path", None)  # where it was loaded from is nobody else's business
    _write_json(folder / "config.json", config)
    metadata = {
        "query_token_id": settings.query_marker,
        "doc_token_id": settings.document_marker,
        "query_maxlen": settings.query_maxlen,
        "doc_maxlen": settings.document_maxlen,
        "query_length": settings.query_length,
        "dim": projection.out_features,
        "similarity": "cosine",
        "attend_to_mask_tokens": settings.attend_to_mask_tokens,
        "mask_punctuation": bool(settings.skiplist),
        "nbits": 2,
    }
    _write_json(folder / "artifact.metadata", metadata)


class whole_directory:
    """A new directory that takes its name only once everything in it has been written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix=f".{self._path.name}-", dir=self._path.parent))
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        self._folder.chmod(0o755)
        if self._path.exists():
            old = self._folder.with_name(f"{self._folder.name}-old")
            self._path.rename(old)
            self._folder.rename(self._path)
            shutil.rmtree(old)
        else:
            self._folder.rename(self._path)


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
