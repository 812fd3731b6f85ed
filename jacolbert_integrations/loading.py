"""From a checkpoint directory to a sentence-transformers pipeline, and back.

The pipeline is always ``[ColBERTTransformer, Dense ..., MultiVectorMask, Normalize]``, whatever the
layout. Checkpoints in sentence-transformers' own layout are built by it, and get our transformer
in place of its own where that changes nothing but the handling of queries.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.base.modules import Transformer as STTransformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor, nn
from transformers import PreTrainedModel

from .checkpoints import Checkpoint, ColBERTSettings, Layout, weight_shapes
from .errors import CorruptCheckpointError, IncompleteCheckpointError, InputError, RemoteCodeError
from .query_length import QueryLength
from .tokenization import JapaneseTokenizer
from .transformer import ColBERTTransformer, HuggingFaceTokenizer


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a checkpoint, whatever its layout."""

    query_length: QueryLength | None = None
    device: str | None = None
    dtype: torch.dtype | None = None
    trust_remote_code: bool = False


def load_model(checkpoint: Checkpoint, options: LoadOptions) -> MultiVectorEncoder:
    """Builds the pipeline of a checkpoint.

    Raises:
        CheckpointError: If weights are missing, unreadable or of a wrong shape, or if the
            checkpoint needs code of its own that was not asked for.
    """
    dtype = torch.float32 if options.dtype is None else options.dtype
    shared = {"trust_remote_code": options.trust_remote_code, "local_files_only": True}
    if checkpoint.settings is None:
        return _load_sentence_transformers(checkpoint, options, dtype)
    settings = checkpoint.settings
    try:
        transformer = ColBERTTransformer(
            str(checkpoint.path),
            colbert_settings=settings,
            query_length=_rule(options.query_length, settings, checkpoint.japanese),
            model_kwargs={**shared, "dtype": dtype},
            processor_kwargs=dict(shared),
            config_kwargs=dict(shared),
        )
    except (SafetensorError, OSError, ValueError, RuntimeError, UnpicklingError) as error:
        if isinstance(error, InputError):
            raise
        if isinstance(error, UnpicklingError):
            raise _unsafe(checkpoint.path, error) from error
        if checkpoint.remote_code and not options.trust_remote_code:
            raise RemoteCodeError(
                f"{checkpoint.path} names Python code of its own in its config.json (auto_map) and cannot be built "
                "without it. Read that code, and pass trust_remote_code=True if you trust it."
            ) from error
        raise CorruptCheckpointError(f"{checkpoint.path} cannot be loaded: {error}") from error
    hidden = transformer.get_embedding_dimension()
    modules: list[nn.Module] = [transformer]
    if checkpoint.layout is Layout.STANFORD:
        modules.append(_stanford_projection(checkpoint.path, hidden))
    else:
        for folder in checkpoint.projections:
            defaults = {"module_input_name": "token_embeddings"}
            modules.append(Dense.load(str(checkpoint.path), subfolder=folder, init_defaults=defaults))
    modules += [_mask(checkpoint, transformer, settings), Normalize(module_input_name="token_embeddings")]
    return MultiVectorEncoder(modules=modules, device=options.device)


def _rule(asked: QueryLength | None, settings: ColBERTSettings, japanese: bool) -> QueryLength:
    """What was asked for, else what the checkpoint records; the dynamic rule is JaColBERT's own."""
    if asked is not None:
        return asked
    if settings.query_length is not None:
        return settings.query_length
    return "released" if japanese else "fixed"


def _stanford_projection(path: Path, hidden: int) -> Dense:
    weights = {name: tensor for name, tensor in stored_weights(path) if name == "linear.weight"}
    if not weights:
        raise IncompleteCheckpointError(
            f"{path} has an artifact.metadata but no 'linear.weight' among its weights. Without the trained "
            "projection the model is useless, and none will be made up."
        )
    weight = weights["linear.weight"]
    if weight.ndim != 2 or weight.shape[1] != hidden:
        raise CorruptCheckpointError(
            f"{path}: 'linear.weight' has the shape {tuple(weight.shape)}, but (dim, {hidden}) is expected."
        )
    return Dense(
        in_features=weight.shape[1],
        out_features=weight.shape[0],
        bias=False,
        activation_function=nn.Identity(),
        init_weight=weight.float(),
        module_input_name="token_embeddings",
    )


def _mask(checkpoint: Checkpoint, transformer: ColBERTTransformer, settings: ColBERTSettings) -> MultiVectorMask:
    if checkpoint.mask is not None:
        return MultiVectorMask.load(str(checkpoint.path), subfolder=checkpoint.mask)
    if checkpoint.layout is not Layout.STANFORD:
        return MultiVectorMask(skiplist_words=list(settings.skiplist))
    # colbert-ai skips the first piece of each symbol, whatever the tokenizer makes of it
    tokenizer = transformer.hf_tokenizer
    firsts = [ids[0] for ids in HuggingFaceTokenizer(tokenizer).encode_batch(list(settings.skiplist)) if ids]
    words = [str(tokenizer.convert_ids_to_tokens(index)) for index in firsts if index != tokenizer.unk_token_id]
    return MultiVectorMask(skiplist_words=list(dict.fromkeys(words)))


def _load_sentence_transformers(checkpoint: Checkpoint, options: LoadOptions, dtype: torch.dtype) -> MultiVectorEncoder:
    try:
        model = MultiVectorEncoder(
            str(checkpoint.path),
            device=options.device,
            trust_remote_code=options.trust_remote_code,
            local_files_only=True,
            model_kwargs={"dtype": dtype},
        )
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        if "trust_remote_code" in str(error):
            raise RemoteCodeError(
                f"{checkpoint.path} names Python code of its own. Read it, and pass trust_remote_code=True if you "
                f"trust it. ({error})"
            ) from error
        raise CorruptCheckpointError(f"{checkpoint.path} cannot be loaded: {error}") from error
    return _with_own_queries(model, checkpoint, options)


def _with_own_queries(model: MultiVectorEncoder, checkpoint: Checkpoint, options: LoadOptions) -> MultiVectorEncoder:
    """Puts our transformer into a ColBERT that sentence-transformers saved: single markers, [MASK] expansion."""
    settings = _equivalent_settings(model)
    if settings is None:
        if options.query_length not in (None, "fixed"):
            raise InputError(
                f"query_length={options.query_length!r} needs a ColBERT with markers and [MASK] expansion, but "
                f"{checkpoint.path} makes its queries in its own way. Leave query_length out."
            )
        return model
    own = ColBERTTransformer.from_transformer(
        cast("STTransformer", model[0]), settings, _rule(options.query_length, settings, checkpoint.japanese)
    )
    modules = [own, *list(model.children())[1:]]
    return MultiVectorEncoder(modules=modules, device=str(model.device))


def _equivalent_settings(model: MultiVectorEncoder) -> ColBERTSettings | None:
    first = model[0]
    # a subclass may make its inputs in a way of its own
    if not isinstance(first, STTransformer) or type(first) is not STTransformer:
        return None
    expansion, tokenizer = first.query_expansion, first.tokenizer
    if tokenizer is None or expansion is None or expansion["strategy"] != "fixed":
        return None
    markers = [(model.prompts.get(name) or "").strip() for name in ("query", "document")]
    if expansion["token"] is not None or any(tokenizer.tokenize(marker) != [marker] for marker in markers):
        return None
    skiplist = next((m.skiplist_words for m in model if isinstance(m, MultiVectorMask)), [])
    return ColBERTSettings(
        query_marker=markers[0],
        document_marker=markers[1],
        query_maxlen=expansion["length"],
        document_maxlen=first.document_length or tokenizer.model_max_length,
        attend_to_mask_tokens=expansion["attend"],
        skiplist=tuple(skiplist),
    )


def stored_weights(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a directory's weight files, by name.

    Raises:
        CorruptCheckpointError: If a file cannot be read, or would run code when unpickled.
    """
    shards = [path / "model.safetensors"]
    index = path / "model.safetensors.index.json"
    if weight_shapes(path) is not None:
        if not shards[0].is_file():
            shards = [path / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
        for shard in shards:
            yield from load_file(shard).items()
        return
    for file in sorted(path.glob("pytorch_model*.bin")):
        try:
            yield from torch.load(file, map_location="cpu", weights_only=True).items()
        except Exception as error:  # torch raises a different type for each way in which a file is broken
            raise _unsafe(file, error) from error


def _unsafe(file: Path, error: Exception) -> CorruptCheckpointError:
    return CorruptCheckpointError(
        f"{file} cannot be read with weights only: it is truncated, or it would run code. Download it again, or "
        f"convert it to safetensors where you trust it. ({str(error).splitlines()[0]})"
    )


def checkpoint_fingerprint(checkpoint: Checkpoint) -> str:
    """The :func:`fingerprint` of a checkpoint's stored weights, whatever its layout."""
    tensors = dict(stored_weights(checkpoint.path))
    for position, folder in enumerate(checkpoint.projections):
        for name, tensor in stored_weights(checkpoint.path / folder):
            tensors[_projection_name(position, name)] = tensor
    return fingerprint(tensors)


def model_fingerprint(model: MultiVectorEncoder) -> str:
    """The :func:`fingerprint` of a loaded model's weights."""
    return fingerprint(_named_weights(model))


def _named_weights(model: MultiVectorEncoder) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    projections = 0
    for module in model.children():
        if isinstance(module, STTransformer):
            tensors |= module.auto_model.state_dict()
        elif isinstance(module, Dense):
            tensors |= {_projection_name(projections, name): t for name, t in module.state_dict().items()}
            projections += 1
    return tensors


def _projection_name(position: int, name: str) -> str:
    return name if position == 0 else f"{position}.{name}"


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and float32 values, the same for every layout of the same weights.

    The pooler, which token vectors never pass through, is left out.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted((_canonical(name), tensor) for name, tensor in tensors.items()):
        if name.startswith("pooler.") or name.endswith("position_ids"):
            continue
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _canonical(name: str) -> str:
    for prefix in ("bert.", "roberta.", "model.", "auto_model."):
        name = name.removeprefix(prefix)
    if name.endswith(("LayerNorm.gamma", "LayerNorm.beta")):  # how old TensorFlow code called them
        name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name


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
    names = {"architectures": ["HF_ColBERT"], "dtype": str(dtype).removeprefix("torch.")}
    _write_json(folder / "config.json", backbone.config.to_dict() | names)
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
