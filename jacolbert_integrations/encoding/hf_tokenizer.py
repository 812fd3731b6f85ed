"""The tokenizer of a checkpoint as the encoder uses it: the fast Japanese one, or any of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.models.bert_japanese import BertJapaneseTokenizer

from ..errors import NoOffsetsError
from ..text.cleaning import pieces
from ..text.offsets import encode_with_offsets
from ..text.sentences import Span
from ..text.tokenization import JapaneseTokenizer, TextTokenizer

_CHARACTERS_PER_TOKEN = 8
"""How much of a text is read at first where only so many of its tokens are needed; more, where that was too little."""

_MARGIN = 64
"""Tokens before a cut that are not used, because the text after it may have changed them. What is further away it
changes only in runs of one repeated piece, and there only which of the equally good readings is taken."""


class HuggingFaceTokenizer:
    """Any transformers tokenizer as a :class:`TextTokenizer`, blind to control tokens in the text."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer

    def encode_batch(self, texts: Sequence[str], limit: int | None = None) -> list[list[int]]:
        """Computes the token ids of each text, without control tokens.

        Args:
            texts: The texts.
            limit: How many ids are needed of each; those of a longer text may end there, and what is far behind is
                not looked at.
        """
        if not texts:
            return []
        if isinstance(self.tokenizer, BertJapaneseTokenizer):  # its words are MeCab's or the like
            return [self._encode_pieces(text, limit) for text in texts]
        return self._encode(texts) if limit is None else self._encode_starts(texts, limit)

    def encode_with_spans(self, text: str) -> tuple[list[int], list[Span | None]]:
        """Computes the ids of one text, and for each the characters of ``text`` that it stands for.

        Raises:
            NoOffsetsError: If the tokenizer is a slow one, which is not of the ``tokenizers`` library.
        """
        if not self.tokenizer.is_fast:
            raise no_offsets(self.tokenizer)
        backend = self.tokenizer.backend_tokenizer
        return encode_with_offsets(text, lambda text: self._features([text]).encodings[0], backend.normalizer)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        ids: list[list[int]] = self._features(texts)["input_ids"]
        return ids

    def _encode_starts(self, texts: Sequence[str], limit: int) -> list[list[int]]:
        """Encodes as much of each text as gives that many ids, and some more, which what follows may change."""
        size, found = _CHARACTERS_PER_TOKEN * (limit + _MARGIN), dict[int, list[int]]()
        while missing := [place for place in range(len(texts)) if place not in found]:
            starts = [texts[place][:size] for place in missing]
            for place, start, ids in zip(missing, starts, self._encode(starts), strict=True):
                if len(start) == len(texts[place]) or len(ids) >= limit + _MARGIN:
                    found[place] = ids[:limit]
            size *= 4
        return [found[place] for place in range(len(texts))]

    def _features(self, texts: Sequence[str]) -> Any:
        return self.tokenizer(
            list(texts), add_special_tokens=False, split_special_tokens=True, truncation=False, verbose=False
        )

    def _encode_pieces(self, text: str, limit: int | None) -> list[int]:
        ids: list[int] = []
        for piece in pieces(text):
            ids += self._encode([piece])[0]
            if limit is not None and len(ids) >= limit:
                break
        return ids


def no_offsets(tokenizer: object) -> NoOffsetsError:
    """Builds the error that a tokenizer cannot say where its tokens come from."""
    return NoOffsetsError(
        f"the model's tokenizer is a {type(tokenizer).__name__}, which does not say which characters of a text its "
        "tokens come from, and without that nothing can be highlighted. A fast tokenizer does (of the tokenizers "
        "library, saved as a tokenizer.json), and so does a BertJapaneseTokenizer with MeCab, unidic_lite and "
        "WordPiece: save the checkpoint with one that gives the same ids, or show its results without matches."
    )


def text_tokenizer(tokenizer: PreTrainedTokenizerBase) -> TextTokenizer:
    """Returns the fast Japanese tokenizer where it gives the same ids, else the checkpoint's own."""
    if isinstance(tokenizer, BertJapaneseTokenizer):
        config = {
            "word_tokenizer_type": tokenizer.word_tokenizer_type,
            "subword_tokenizer_type": tokenizer.subword_tokenizer_type,
            "do_word_tokenize": tokenizer.do_word_tokenize,
            "do_subword_tokenize": tokenizer.do_subword_tokenize,
            "do_lower_case": tokenizer.do_lower_case,
            "mecab_kwargs": tokenizer.mecab_kwargs,
            "unk_token": tokenizer.unk_token,
        }
        if JapaneseTokenizer.supports(config):
            return JapaneseTokenizer.from_config(tokenizer.vocab, config)
    return HuggingFaceTokenizer(tokenizer)
