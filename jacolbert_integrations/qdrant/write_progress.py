"""The progress bar of a writer: passages and tokens so far, and the time that is left where the whole is known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from ..types import Document

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..types import TokenVectors

_KNOWN = "{desc}: {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"
_UNKNOWN = "{desc}: {elapsed}"
_DELAY = 1.0  # seconds: what is done by then needs no bar


class WriteProgress:
    """Shows how far a writer is, in characters of the documents: what a long one costs is many times a short one's.

    Args:
        documents: What is written.
        total: How many characters that is, if it is known; of a sequence they are counted. Without it no time that is
            left is shown.
        show: None shows it after a second, on a terminal.
    """

    def __init__(self, documents: Iterable[Document], total: int | None, show: bool | None) -> None:
        if total is None and isinstance(documents, Sequence):
            texts = (getattr(document, "text", None) for document in documents)
            total = sum(len(text) for text in texts if isinstance(text, str))
        self._passages = self._tokens = 0
        self._bar = tqdm(
            desc="Writing to Qdrant",
            disable=None if show is None else not show,
            delay=_DELAY if show is None else 0.0,
            total=total,
            bar_format=_UNKNOWN if total is None else _KNOWN,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def passed(self, characters: int) -> None:
        """Notes characters that need not be encoded, or cannot be."""
        self._bar.update(characters)

    def encoded(self, texts: Sequence[str], matrices: Sequence[TokenVectors]) -> None:
        """Notes passages that were encoded, each a (tokens, dimension) array."""
        self._passages += len(texts)
        self._tokens += sum(map(len, matrices))
        said = f"Writing to Qdrant: {self._passages:,} passages, {self._tokens:,} tokens"
        self._bar.set_description_str(said, refresh=False)
        self._bar.update(sum(map(len, texts)))
