"""Where in a text the tokens of a fast tokenizer come from.

A tokenizer of the ``tokenizers`` library says of each token from which characters it comes. That is nearly, but not
quite, what a reader wants to see: the mark of a word's beginning (▁) is said to come from the character after it; a
composed が from the か alone; a dakuten that stays a token of its own from itself, without its kana; and after
characters that the normalisation deletes, tokens come from places that are not theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tokenizers import Encoding

from .characters import WholeCharacters
from .cleaning import clean, original_spans
from .sentences import Span

_WORD_MARKS = "▁Ġ"
"""What stands for white space in tokens: of sentencepiece, and of byte-level BPE. It may stand before a text's first
character too, where there is none."""


def encode_with_offsets(
    text: str, encode: Callable[[str], Encoding], normalizer: Any = None
) -> tuple[list[int], list[Span | None]]:
    """Encodes a text, and says of each token from which characters of it the token was read.

    Args:
        text: Any text; the tokenizer gets it cleaned (:func:`~.cleaning.clean`).
        encode: What a fast tokenizer makes of a text, uncut or cut, with control tokens or without.
        normalizer: The tokenizer's own, of the ``tokenizers`` library, if it has one.

    Returns:
        The ids, and for each token where its characters begin and end in ``text``: whole characters, without white
        space around them. Several tokens may share characters. A token that stands for no character that can be seen
        has None: control tokens, white space, the mark of a word's beginning.
    """
    readable = clean(text)
    encoding = encode(readable)
    characters = WholeCharacters(readable)
    spans = [
        None if special or _is_inserted(token, readable[slice(*offsets)]) else characters.around(*offsets)
        for token, offsets, special in zip(
            encoding.tokens, _offsets(readable, encoding, encode, normalizer), encoding.special_tokens_mask, strict=True
        )
    ]
    if len(readable) != len(text):
        places = original_spans(text)
        spans = [None if span is None else (places[span[0]][0], places[span[1] - 1][1]) for span in spans]
    return list(encoding.ids), spans


def _offsets(
    text: str, encoding: Encoding, encode: Callable[[str], Encoding], normalizer: Any
) -> Sequence[tuple[int, int]]:
    """Returns the offsets of the tokens, also where the normalisation deletes characters.

    After those, sentencepiece's normalisation (``Precompiled``) miscounts. The text without them has the same tokens,
    with offsets that are right.
    """
    deleted = _deleted(text, normalizer)
    if not deleted:
        return encoding.offsets
    places = [place for place, character in enumerate(text) if character not in deleted]
    rest = encode("".join(text[place] for place in places))
    if rest.ids != encoding.ids:
        return encoding.offsets
    return [(places[start], places[end - 1] + 1) if start < end else (0, 0) for start, end in rest.offsets]


def _deleted(text: str, normalizer: Any) -> set[str]:
    """Returns the characters of which the normalisation leaves nothing, such as U+0001."""
    if normalizer is None:
        return set()
    between = normalizer.normalize_str("aa")  # at an end, white space may be stripped
    return {character for character in set(text) if normalizer.normalize_str(f"a{character}a") == between}


def _is_inserted(token: str, part: str) -> bool:
    """Returns whether a token is the mark of a word's beginning alone, and none that the text itself has."""
    return not token.strip(_WORD_MARKS) and not any(mark in part for mark in token)
