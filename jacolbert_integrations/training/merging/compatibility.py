"""What merged checkpoints must have in common: architecture, tokenizer and settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.models.bert_japanese import BertJapaneseTokenizer

from ...encoding.encoder import JaColBERT
from ...encoding.transformer import ColBERTTransformer
from ...errors import MergeError

# Keys of config.json that no token vector depends on: where a file comes from, classification heads, outputs.
# Dropout and initialisation, which matter to training alone, are left out beside them.
_IGNORED = frozenset(
    {"architectures", "transformers_version", "dtype", "torch_dtype", "id2label", "label2id", "problem_type"}
    | {"use_cache", "gradient_checkpointing", "output_hidden_states", "output_attentions", "return_dict"}
)
_JAPANESE = (
    *("word_tokenizer_type", "subword_tokenizer_type", "do_word_tokenize", "do_subword_tokenize"),
    *("do_lower_case", "never_split", "sudachi_kwargs", "jumanpp_kwargs"),
)
_MECAB = {"mecab_dic": "unidic_lite", "normalize_text": True, "mecab_option": None}
_CONFIG, _VOCABULARY = "config.json's ", "the vocabulary"
_SHOWN = 160


def facts_of(model: JaColBERT, given: str) -> dict[str, Any]:
    """Collects everything but the weights that a model's token vectors depend on, by the name that an error gives it.

    Args:
        model: The model.
        given: What to call it in an error.

    Raises:
        MergeError: If it is no ColBERT whose inputs this package makes.
    """
    modules: list[Any] = list(model.model.children())
    transformer, *others = modules
    if not isinstance(transformer, ColBERTTransformer):
        raise MergeError(
            f"{given} makes its queries in its own way ({type(transformer).__name__}), for which the Stanford layout "
            "of the result has no place. Only ColBERTs with markers and [MASK] expansion can be merged."
        )
    backbone = transformer.auto_model
    facts: dict[str, Any] = {"the architecture": type(backbone).__name__}
    for key, value in backbone.config.to_dict().items():
        if key not in _IGNORED and not key.startswith(("_", "initializer")) and "dropout" not in key:
            facts[f"{_CONFIG}{key!r}"] = value
    facts["the pipeline"] = [type(module).__name__ for module in others]
    for position, module in enumerate(others, 1):
        for key, value in module.get_config_dict().items():
            if key != "skiplist_words":
                facts[f"{key!r} of module {position} ({type(module).__name__})"] = value
    facts["the prompts"] = {task: text for task, text in model.model.prompts.items() if text}
    settings = asdict(replace(transformer.settings, query_length=transformer.query_length_rule))
    # layouts name the skipped words differently; what counts are the tokens
    settings["skiplist"] = sorted(map(str, transformer.hf_tokenizer.convert_ids_to_tokens(sorted(model.skipped_ids))))
    facts |= {f"the setting {key!r}": value for key, value in settings.items()}
    facts |= _tokenizer_facts(transformer.hf_tokenizer)
    for name, tensor in model.model.state_dict().items():
        facts[f"the shape of {name!r}"] = tuple(tensor.shape)
    return facts


def _tokenizer_facts(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Collects everything that decides token ids. The padding token does not: padding is masked, in every layout."""
    facts: dict[str, Any] = {
        "the tokenizer": type(tokenizer).__name__,
        "the tokenizer's model_max_length": tokenizer.model_max_length,
        _VOCABULARY: tokenizer.get_vocab(),
    }
    for name in ("cls_token", "sep_token", "mask_token", "unk_token", "bos_token", "eos_token"):
        facts[f"the tokenizer's {name}"] = getattr(tokenizer, name, None)
    if isinstance(tokenizer, BertJapaneseTokenizer):
        facts |= {f"the tokenizer's {name}": getattr(tokenizer, name) for name in _JAPANESE}
        facts["the tokenizer's mecab_kwargs"] = _MECAB | (tokenizer.mecab_kwargs or {})
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        parts = json.loads(backend.to_str())
        facts |= {f"the tokenizer's {part}": parts[part] for part in ("normalizer", "pre_tokenizer", "model")}
    return facts


def difference_of(first: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Describes the first difference between the facts of two models; None if there is none."""
    for name in [*first, *(name for name in other if name not in first)]:
        # transformers fills in the keys that it knows, so that one which only one of the two has decides nothing
        if name.startswith(_CONFIG) and not (name in first and name in other):
            continue
        was: Any = first.get(name)
        now: Any = other.get(name)
        if was == now:
            continue
        if name == _VOCABULARY:
            return _vocabulary_difference(was, now)
        return f"{name} is {_short(now)}, but {_short(was)} in the first"
    return None


def _vocabulary_difference(first: Mapping[str, int], other: Mapping[str, int]) -> str:
    token = min(set(first.items()) ^ set(other.items()))[0]
    return (
        f"its vocabulary of {len(other)} tokens has {token!r} at {other.get(token)}, but the first one's of "
        f"{len(first)} at {first.get(token)}"
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
