"""Which words of a text say what it is about: all but particles, auxiliaries and punctuation."""

from __future__ import annotations

from .sentences import Span
from .spans import locate_words
from .tokenization import WordSplitter

_FUNCTION = frozenset({"助詞", "助動詞", "補助記号", "記号", "空白"})

_SPLITTER = WordSplitter()


def content_spans(text: str) -> list[Span]:
    """Finds where in ``text`` its content words are, as MeCab and UniDic tell them from function words.

    Returns:
        ``(start, end)`` of each, in characters, in the order of the text. Particles such as は, auxiliaries such as
        です, and punctuation are in none.
    """
    words = list(_SPLITTER.parts_of_speech(text))
    located = locate_words((word for word, _ in words), text, normalize=True)
    return [(start, end) for (_, start, end), (_, part) in zip(located, words, strict=True) if part not in _FUNCTION]
