"""From a checkpoint directory to a sentence-transformers pipeline.

The pipeline is always ``[ColBERTTransformer, Dense ..., MultiVectorMask, Normalize]``, whatever the
layout, and a token pooling if one was saved with it. Checkpoints in sentence-transformers' own layout
are built by it, and get our transformer in place of its own where that changes nothing but the
handling of queries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import cast

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.base.modules import Transformer as STTransformer
from sentence_transformers.multi_vector_encoder.modules import HierarchicalTokenPooling, MultiVectorMask
from torch import nn

from ..checkpoints.files import read_json
from ..checkpoints.layouts import Checkpoint, ColBERTSettings, Layout
from ..checkpoints.weights import stored_weights, unsafe_weights
from ..errors import CorruptCheckpointError, IncompleteCheckpointError, InputError, RemoteCodeError
from ..query_length import QueryLength
from .devices import default_dtype
from .hf_tokenizer import HuggingFaceTokenizer
from .int8 import Precision, use_int8
from .transformer import ColBERTTransformer, load_strictly


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a checkpoint, whatever its layout."""

    query_length: QueryLength | None = None
    device: str | None = None
    dtype: torch.dtype | None = None
    precision: Precision | None = None
    trust_remote_code: bool = False
    local_files_only: bool = False
    token: str | bool | None = field(default=None, repr=False)


def load_model(checkpoint: Checkpoint, options: LoadOptions) -> MultiVectorEncoder:
    """Builds the pipeline of a checkpoint.

    Raises:
        CheckpointError: If weights are missing, unreadable or of a wrong shape, or if the
            checkpoint needs code of its own that was not asked for.
    """
    model = _load_whole(checkpoint, options)
    if options.precision is not None:
        use_int8(model[0])
    return model


def _load_whole(checkpoint: Checkpoint, options: LoadOptions) -> MultiVectorEncoder:
    dtype = default_dtype(options.device) if options.dtype is None else options.dtype
    # The files are here; the code of a checkpoint may lie in another repository.
    shared = {
        "trust_remote_code": options.trust_remote_code,
        "local_files_only": options.local_files_only,
        "token": options.token,
    }
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
    except (
        SafetensorError,
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
        StrictDataclassError,
        UnpicklingError,
    ) as error:
        if isinstance(error, InputError):
            raise
        if isinstance(error, UnpicklingError):
            raise unsafe_weights(checkpoint.path, error) from error
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
    modules += _token_pooling(checkpoint)
    prompts = {"query": checkpoint.query_prompt, "document": checkpoint.document_prompt}
    return MultiVectorEncoder(modules=modules, device=options.device, prompts=prompts)


def _rule(asked: QueryLength | None, settings: ColBERTSettings, japanese: bool) -> QueryLength:
    """Returns the rule that was asked for, else the checkpoint's own; only JaColBERT has the dynamic rules."""
    if asked is not None:
        return asked
    if settings.query_length is not None:
        return settings.query_length
    return "released" if japanese else "fixed"


def _stanford_projection(path: Path, hidden: int) -> Dense:
    weights = {name: tensor for name, tensor in stored_weights(path, "linear.weight") if name == "linear.weight"}
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


def _token_pooling(checkpoint: Checkpoint) -> list[nn.Module]:
    """Returns the token pooling that a pipeline was saved with: without it, documents would have other vectors."""
    if checkpoint.layout is not Layout.OURS:
        return []
    saved = read_json(checkpoint.path / "modules.json")
    folders = [str(m["path"]) for m in saved if str(m["type"]).endswith(f".{HierarchicalTokenPooling.__name__}")]
    return [HierarchicalTokenPooling.load(str(checkpoint.path), subfolder=folder) for folder in folders]


def _load_sentence_transformers(checkpoint: Checkpoint, options: LoadOptions, dtype: torch.dtype) -> MultiVectorEncoder:
    try:
        model = MultiVectorEncoder(
            str(checkpoint.path),
            device=options.device,
            trust_remote_code=options.trust_remote_code,
            local_files_only=options.local_files_only,
            token=options.token,
            model_kwargs={"dtype": dtype},
        )
        _check_backbone(model, checkpoint.path)
    except UnpicklingError as error:
        raise unsafe_weights(checkpoint.path, error) from error
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, TypeError, StrictDataclassError) as error:
        if isinstance(error, InputError):
            raise
        if "trust_remote_code" in str(error):
            raise RemoteCodeError(
                f"{checkpoint.path} names Python code of its own. Read it, and pass trust_remote_code=True if you "
                f"trust it. ({error})"
            ) from error
        raise CorruptCheckpointError(f"{checkpoint.path} cannot be loaded: {error}") from error
    return _with_own_queries(model, checkpoint, options)


def _check_backbone(model: MultiVectorEncoder, path: Path) -> None:
    """Loads again what sentence-transformers has loaded, to be told of weights that were missing.

    Not onto torch's device "meta", although the values are of no use: for that, transformers wants accelerate.
    """
    first = model[0]
    if isinstance(first, STTransformer) and first.backend == "torch":
        backbone = first.auto_model
        load_strictly(type(backbone), str(path), config=backbone.config)


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
    settings = replace(settings, query_length=checkpoint.query_length)
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
