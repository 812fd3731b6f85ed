"""Small tokenizers of the tokenizers library, and checkpoints with them, whose vectors tell nothing but the token."""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from jacolbert_integrations.evaluation.jsquad import load_jsquad

from ..checkpoints.test_other_models import stanford

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[Q]", "[D]"]
CHARACTERS = "".join(map(chr, [*range(0x20, 0x7F), *range(0x3041, 0x3100)])) + "、。「」゙゚▁"
TEXTS = [passage.text for passage in load_jsquad().passages[:200]]


def charsmap(rules: Mapping[str, str]) -> bytes:
    """What sentencepiece writes of its normalisation: a trie of what is replaced, as a double array, and what by."""
    normalized, trie = b"", dict[int, Any]()
    for source, target in sorted(rules.items()):
        node = trie
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[0] = len(normalized)
        normalized += target.encode() + b"\0"
    units, taken, bases = {0: 0}, {0}, set[int]()

    def place(node: dict[int, Any], unit: int) -> None:
        # a child of a label is at base ^ label, and the parent says how far away base is
        free = (b for b in range(1, 1 << 20) if b not in bases and all(b ^ label not in taken for label in node))
        base = next(free)
        bases.add(base)
        taken.update(base ^ label for label in node)
        assert unit ^ base < 1 << 21
        units[unit] |= (unit ^ base) << 10 | (0 in node) << 8
        for label, child in node.items():
            units[base ^ label] = child | 1 << 31 if label == 0 else label
        for label, child in node.items():
            if label:
                place(child, base ^ label)

    place(trie, 0)
    array = [units.get(i, 0) for i in range(max(units) + 256)]
    return struct.pack(f"<I{len(array)}I", 4 * len(array), *array) + normalized


def sentencepiece_rules() -> dict[str, str]:
    """Some of the rules of nmt_nfkc, XLM-R's normalisation."""
    folded = [*"㍿①②㌔ﬃ½…゛ﷺ", *map(chr, range(0xFF01, 0xFFA0))]
    rules = {c: unicodedata.normalize("NFKC", c) for c in folded if c != "～"}
    rules |= {pair: unicodedata.normalize("NFKC", pair) for pair in ("e\u0301", "a\u0301")}
    rules |= dict.fromkeys(["\t", "\n", "\r", "\u200b", "\u3000", "\u00a0", "\ufeff", "\u2028"], " ")
    return rules | dict.fromkeys(["\x01", "\x02", "\x7f"], "")


@cache
def _unigram_pieces() -> tuple[tuple[str, float], ...]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=4000, unk_token="<unk>", special_tokens=SPECIAL[:5],
                                      show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator([*TEXTS, CHARACTERS], trainer)
    learned = [piece for piece in tokenizer.get_vocab() if piece not in SPECIAL and len(piece.strip("▁")) > 1]
    known = ["株式会社", "日本", "東京", "首都", "ガ", "▁日本", "▁AB"]
    pieces = dict.fromkeys([*known, *sorted(learned), *sorted(set(CHARACTERS + "".join(TEXTS)) - {" ", "\n"})])
    return (*((token, 0.0) for token in SPECIAL[:4]), *((piece, -9.0 + 2 * min(len(piece), 3)) for piece in pieces))


def unigram(*, nfkc: bool = False) -> Tokenizer:
    """As XLM-R's: ▁ before every word, and sentencepiece's normalisation, or Unicode's."""
    tokenizer = Tokenizer(models.Unigram(list(_unigram_pieces()), unk_id=3))
    tokenizer.normalizer = normalizers.NFKC() if nfkc else normalizers.Precompiled(charsmap(sentencepiece_rules()))
    if not nfkc:
        tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, normalizers.Replace(Regex(" {2,}"), " ")])
    words = [pre_tokenizers.Metaspace()] if nfkc else [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(words)
    return _with_control_tokens(tokenizer)


def byte_level(*, add_prefix_space: bool = True) -> Tokenizer:
    """As RoBERTa's: byte-level BPE, which splits most kanji into bytes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=SPECIAL, show_progress=False)  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _with_control_tokens(tokenizer)


def wordpiece() -> Tokenizer:
    """As multilingual BERT's: lower-cased, without accents and dakuten."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=3000, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return _with_control_tokens(tokenizer)


TOKENIZERS = {
    "unigram": cache(unigram),
    "unigram-nfkc": cache(lambda: unigram(nfkc=True)),
    "bytes": cache(byte_level),
    "wordpiece": cache(wordpiece),
}


def _with_control_tokens(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    first, last = (("<s>", tokenizer.token_to_id("<s>")), ("</s>", tokenizer.token_to_id("</s>")))
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A </s>", special_tokens=[first, last])
    return tokenizer


def wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", cls_token="<s>", eos_token="</s>", sep_token="</s>",
        pad_token="<pad>", unk_token="<unk>", mask_token="<mask>", model_max_length=256,
    )  # fmt: skip


def backbone(folder: Path, tokenizer: Tokenizer) -> BertModel:
    """A BertModel that mixes nothing in: the vector of a token is that of the token, wherever it is."""
    folder.mkdir(parents=True, exist_ok=True)
    wrapped(tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    model = BertModel(
        BertConfig(vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                   intermediate_size=32, max_position_embeddings=256, initializer_range=0.5, pad_token_id=1)
    )  # fmt: skip
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "position_embeddings" in name or "token_type_embeddings" in name or "output.dense.weight" in name:
                weights.zero_()
    return model


def checkpoint(folder: Path, tokenizer: Tokenizer, **metadata: Any) -> Path:
    """A checkpoint in Stanford's layout; ``metadata`` is of its artifact.metadata."""
    model = backbone(folder, tokenizer)
    tensors = {f"bert.{name}": tensor for name, tensor in model.state_dict().items()}
    own = {"dim": 24, "doc_maxlen": 250, "query_maxlen": 32, "query_token_id": "[Q]", "doc_token_id": "[D]",
           "mask_punctuation": False, "query_length": "unpadded"}  # fmt: skip
    torch.manual_seed(1)
    return stanford(folder, tensors, model.config.to_dict(), own | metadata)
