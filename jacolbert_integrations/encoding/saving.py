"""Writing checkpoints whole or not at all: the released models' layout, and the pieces that every layout shares."""

from __future__ import annotations

import copy
import json
import shutil
import string
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor, nn
from transformers import AddedToken, PreTrainedModel, PreTrainedTokenizerBase

from ..checkpoints.files import INT8_FILE
from ..checkpoints.int8 import write_int8
from ..checkpoints.layouts import ColBERTSettings
from ..errors import InputError, SaveError
from ..text.tokenization import JapaneseTokenizer
from .hf_tokenizer import HuggingFaceTokenizer
from .transformer import ColBERTTransformer

_OF_THIS_MACHINE = ("is_local", "local_files_only")


@dataclass(frozen=True, slots=True)
class ColBERTParts:
    """The parts of a pipeline that ends, as every ColBERT does, in a mask and a normalisation.

    Attributes:
        transformer: The encoder with its tokenizer and settings.
        projections: From the hidden size to the dimension of a token vector; one, for the most part.
        mask: Which tokens have no vector.
    """

    transformer: ColBERTTransformer
    projections: tuple[Dense, ...]
    mask: MultiVectorMask

    @property
    def settings(self) -> ColBERTSettings:
        """How the model wants its inputs, as it is run now."""
        transformer = self.transformer
        return replace(
            transformer.settings,
            query_length=transformer.query_length_rule,
            skiplist=tuple(map(str, self.mask.skiplist_words)),
        )


def colbert_parts(model: MultiVectorEncoder) -> ColBERTParts | None:
    """Returns the modules of a ColBERT pipeline of this package; None if the pipeline has any other shape."""
    modules: list[Any] = list(model.children())
    if len(modules) < 4:
        return None
    transformer, *projections, mask, normalize = modules
    if (
        isinstance(transformer, ColBERTTransformer)
        and all(isinstance(module, Dense) for module in projections)
        and isinstance(mask, MultiVectorMask)
        and isinstance(normalize, Normalize)
    ):
        return ColBERTParts(transformer, tuple(projections), mask)
    return None


def save_stanford(model: MultiVectorEncoder, path: Path, *, dtype: torch.dtype = torch.float32) -> None:
    """Writes the layout of the released JaColBERT models, whole or not at all.

    colbert-ai reads it too, and gives the same vectors with the rule ``"fixed"``, the only one that
    it knows. One thing it does differently: where the vocabulary lacks one of the 32 punctuation
    marks, it leaves out every [UNK] of a document. The vocabulary of the released models has them all.

    Args:
        model: The model.
        path: The directory.
        dtype: What to store weights as. ``torch.int8`` stores matrices as 8-bit integers with a scale for each row;
            only this package reads that.

    Raises:
        InputError: If the model is none that this layout can hold (one projection without bias
            over this package's transformer, [MASK] expansion, and all punctuation skipped or none).
    """
    parts = colbert_parts(model)
    if parts is None or not _is_plain(parts.projections):
        raise InputError(
            "the Stanford layout holds one transformer with ColBERT markers and one projection without bias, but this "
            f"model is {[type(m).__name__ for m in model.children()]}. Save it with model.model.save_pretrained "
            "instead."
        )
    if prompts := {name: text for name, text in model.prompts.items() if text}:
        raise InputError(
            f"the Stanford layout has no place for the prompts {prompts}; use model.model.save_pretrained."
        )
    _check_stanford_inputs(parts)
    tokenizer = with_own_padding(parts.transformer)
    with whole_directory(path) as folder:
        _write_stanford(folder, parts.transformer.auto_model, parts.projections[0].linear, parts.settings, dtype)
        write_tokenizer(folder, tokenizer)


def save_scratch(
    path: Path,
    backbone: PreTrainedModel,
    projection: nn.Linear,
    tokenizer: JapaneseTokenizer | PreTrainedTokenizerBase,
    settings: ColBERTSettings,
) -> None:
    """Writes parts that were never loaded from anywhere as a checkpoint, so that they can be."""
    with whole_directory(path) as folder:
        _write_stanford(folder, backbone, projection, settings, torch.float32)
        tokenizer.save_pretrained(folder)


def _is_plain(projections: Sequence[Dense]) -> bool:
    return len(projections) == 1 and not (
        projections[0].bias
        or projections[0].use_residual
        or not isinstance(projections[0].activation_function, nn.Identity)
    )


def _check_stanford_inputs(parts: ColBERTParts) -> None:
    settings, mask = parts.settings, parts.mask
    tokenizer = parts.transformer.hf_tokenizer
    # colbert-ai skips the first piece of each symbol, whatever the tokenizer makes of it
    symbols = HuggingFaceTokenizer(tokenizer).encode_batch(list(string.punctuation))
    punctuation = {ids[0] for ids in symbols if ids} - {tokenizer.unk_token_id}
    skipped = {tokenizer.convert_tokens_to_ids(word) for word in settings.skiplist} - {tokenizer.unk_token_id}
    wants = {
        "queries without [MASK] expansion": not settings.query_expansion,
        "no marker": not (settings.query_marker and settings.document_marker),
        "a skiplist other than punctuation": bool(skipped) and skipped != punctuation,
        "a skiplist for queries": list(mask.skiplist_tasks) != ["document"],
        "a list of the only tokens to keep": mask.keep_only_token_ids is not None,
    }
    if found := [name for name, wanted in wants.items() if wanted]:
        raise InputError(
            f"the Stanford layout has no place for {' and '.join(found)}, which this model has. Use the layout "
            "'sentence-transformers', or model.model.save_pretrained."
        )


def _write_stanford(
    folder: Path, backbone: PreTrainedModel, projection: nn.Linear, settings: ColBERTSettings, dtype: torch.dtype
) -> None:
    tensors = {f"{backbone.base_model_prefix}.{name}": tensor for name, tensor in backbone.state_dict().items()}
    tensors["linear.weight"] = projection.weight
    if dtype == torch.int8:
        write_int8(folder / INT8_FILE, tensors)
    else:
        write_tensors(folder / "model.safetensors", tensors, dtype)
    write_config(folder, backbone, "HF_ColBERT")
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


def write_tensors(file: Path, tensors: Mapping[str, Tensor], dtype: torch.dtype) -> None:
    """Writes weights as safetensors.

    Args:
        file: The file.
        tensors: Name to tensor, on any device.
        dtype: What to store numbers with a fraction as; others stay as they are.

    Raises:
        InputError: If finite weights are too large for ``dtype``.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        whole = tensor.detach().cpu()
        stored[name] = whole.to(dtype if whole.is_floating_point() else whole.dtype).contiguous().clone()
        if bool((torch.isfinite(whole) & ~torch.isfinite(stored[name])).any()):
            raise InputError(f"weights of {name!r} are too large for {dtype}. Save the model as torch.float32.")
    save_file(stored, file, metadata={"format": "pt"})
    file.chmod(0o644)  # safetensors makes files that nobody else can read


def write_config(folder: Path, backbone: PreTrainedModel, architecture: str) -> None:
    """Writes the ``config.json`` of a backbone.

    It asks for computation in float32, whatever the weights are stored as: a library that computed in
    half precision because a file was made small would move vectors by 1e-3.

    Raises:
        InputError: If the backbone has adapters, or needs Python files that would stay behind.
    """
    if not isinstance(backbone, PreTrainedModel) or getattr(backbone, "_hf_peft_config_loaded", False):
        raise InputError(
            f"the backbone, a {type(backbone).__name__}, is no transformers model of itself: adapters, and what other "
            "engines run, have no place in a checkpoint. Merge adapters first, or save the model that they came from."
        )
    config = backbone.config.to_dict() | {"architectures": [architecture], "dtype": "float32"}
    config.pop("_name_or_path", None)  # where it was loaded from is nobody else's business
    local = [str(name) for name in (config.get("auto_map") or {}).values() if "--" not in str(name)]
    if local:
        raise InputError(
            f"the model is made by Python files of its checkpoint ({', '.join(local)}), which would stay behind. Copy "
            "the checkpoint's directory instead."
        )
    _write_json(folder / "config.json", config)


def with_own_padding(transformer: ColBERTTransformer) -> PreTrainedTokenizerBase:
    """Returns the tokenizer with the padding token that the backbone was trained with.

    PyLate pads with [MASK]. colbert-ai gives padding no vector, so that queries would lose their [MASK]s.

    Raises:
        InputError: If the backbone names no other padding token.
    """
    tokenizer = transformer.hf_tokenizer
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id != tokenizer.mask_token_id:
        return tokenizer
    index = transformer.auto_model.config.pad_token_id
    if index is None or index == tokenizer.mask_token_id:
        raise InputError(
            f"the tokenizer pads with {tokenizer.pad_token!r}, and the backbone's configuration names no other "
            "pad_token_id. Set model.model[0].auto_model.config.pad_token_id to that of the original model."
        )
    own = copy.deepcopy(tokenizer)
    own.pad_token = own.convert_ids_to_tokens(index)
    return own


def write_tokenizer(folder: Path, tokenizer: PreTrainedTokenizerBase, *, markers: Sequence[str] = ()) -> None:
    """Writes a tokenizer, without a word of how it was loaded here.

    Args:
        folder: Where to.
        tokenizer: The tokenizer; it is left as it is.
        markers: Tokens of its vocabulary that are to be recognised in running text.
    """
    if markers:
        tokenizer = copy.deepcopy(tokenizer)
        # the plain call would forget the special tokens that the tokenizer already had
        tokenizer.add_tokens([AddedToken(m, normalized=False, special=True) for m in markers], special_tokens=True)
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(config.get("extra_special_tokens"), list):  # transformers 4 calls such a list by another name
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    if config.get("tokenizer_class") == "TokenizersBackend":  # and this class, too; transformers 5 reads either
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    _write_json(file, {name: value for name, value in config.items() if name not in _OF_THIS_MACHINE})


class whole_directory:
    """A new directory that takes its name only once everything in it has been written.

    Raises:
        SaveError: If the disk does not take it: it is full or read-only, or the name is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Path:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=f".{self._path.name}-", dir=self._path.parent))
        except (OSError, ValueError) as error:
            raise self._not_written(error) from error
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            if isinstance(error, OSError | SafetensorError):
                raise self._not_written(error) from error
            return
        try:
            self._take_name()
        except OSError as failure:
            raise self._not_written(failure) from failure

    def _take_name(self) -> None:
        self._folder.chmod(0o755)
        if self._path.exists():
            old = self._folder.with_name(f"{self._folder.name}-old")
            self._path.rename(old)
            self._folder.rename(self._path)
            shutil.rmtree(old)
        else:
            self._folder.rename(self._path)

    def _not_written(self, error: BaseException) -> SaveError:
        return SaveError(f"{str(self._path)!r:.200} could not be written: {error}. What was there before is as it was.")


def _write_json(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
