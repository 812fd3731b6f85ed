"""What decides a model's vectors beside its weights, as a hash that a collection can record."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from weakref import WeakKeyDictionary

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from transformers import PreTrainedTokenizerBase

from .transformer import ColBERTTransformer

_SAMPLE = (
    "東京タワーへ、行きました。ABC abc Café cafe １２３ 123 ｶﾞ が か\u3099 𠮷野家 ㍿ 🗼 (株) すもももももももものうち"
)
"""Text that word splitting, normalisation and letter case each change; tokenizers that differ in one of them give
other ids."""

_BACKBONE = ("model_type", "hidden_act", "hidden_activation", "num_attention_heads", "layer_norm_eps", "norm_eps")

_VOCABULARIES: WeakKeyDictionary[PreTrainedTokenizerBase, tuple[int, str]] = WeakKeyDictionary()
"""Size and hash of the vocabularies in use, because stores ask for a model's identity often."""


def configuration_hash(model: MultiVectorEncoder) -> str:
    """Computes the SHA-256 of everything beside the weights, lengths and poolings that decides vectors.

    That is the tokenizer (its vocabulary, and the ids that it gives a sample of text), control tokens and markers,
    prompts, the tokens that are skipped, the [MASK] tokens' attention, the activation of each projection, the
    normalisation, and what the backbone's configuration says that no weight's shape shows. It is the same in every
    layout. The query-length rule is left out: it may change, and changes no stored vector.
    """
    first, tokenizer = model[0], model.tokenizer
    facts: dict[str, Any] = {
        "inputs": _colbert_inputs(first) if isinstance(first, ColBERTTransformer) else _other_inputs(first, tokenizer),
        "vocabulary": _vocabulary(tokenizer),
        "prompts": {name: prompt for name, prompt in model.prompts.items() if prompt},
        "projections": [
            [repr(module.activation_function), bool(getattr(module, "use_residual", False))]
            for module in model.children()
            if isinstance(module, Dense)
        ],
        "masks": [_mask(module, tokenizer) for module in model.children() if isinstance(module, MultiVectorMask)],
        "normalized": any(isinstance(module, Normalize) for module in model.children()),
        "backbone": _backbone(first),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _colbert_inputs(transformer: ColBERTTransformer) -> dict[str, Any]:
    settings = transformer.settings
    tokenizer = transformer.hf_tokenizer
    return {
        "sample": transformer.text_tokenizer.encode_batch([_SAMPLE])[0],
        "markers": [transformer.query_marker_ids, transformer.document_marker_ids],
        "control": [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id],
        "expansion": [settings.query_expansion, settings.attend_to_mask_tokens],
    }


def _other_inputs(module: object, tokenizer: PreTrainedTokenizerBase | None) -> dict[str, Any]:
    return {
        "module": type(module).__name__,
        "sample": None if tokenizer is None else tokenizer(_SAMPLE, verbose=False)["input_ids"],
        "expansion": getattr(module, "query_expansion", None),
    }


def _vocabulary(tokenizer: PreTrainedTokenizerBase | None) -> str | None:
    if tokenizer is None:
        return None
    size, digest = _VOCABULARIES.get(tokenizer, (0, ""))
    if size != len(tokenizer):
        size = len(tokenizer)
        digest = hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()
        _VOCABULARIES[tokenizer] = size, digest
    return digest


def _mask(mask: MultiVectorMask, tokenizer: PreTrainedTokenizerBase | None) -> list[Any]:
    words = list(mask.skiplist_words)
    ids: set[Any] = set(words)
    if tokenizer is not None:
        ids = {tokenizer.convert_tokens_to_ids(word) for word in words} - {tokenizer.unk_token_id}
    return [sorted(ids), sorted(mask.skiplist_tasks), mask.keep_only_token_ids]


def _backbone(module: object) -> dict[str, Any] | None:
    if not isinstance(module, Transformer):
        return None
    config = module.auto_model.config
    return {name: getattr(config, name, None) for name in _BACKBONE}
