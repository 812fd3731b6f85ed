"""What a writer did, and which documents it could not write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document that was not written.

    Attributes:
        id: Its id.
        reason: What was wrong with it, or what the server said.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a writer did.

    Attributes:
        written: Documents that were sent and acknowledged, or some windows of which were.
        replaced: Those of them that were there before, under their id, of another text or payload.
        unchanged: Documents that were there already, of the same text and payload.
        failed: Documents, or windows of them, that were not written, each with the reason.
        seconds: How long it took.
        windows: Points that were written: one for each document, but of one that was split, one for each window.
    """

    written: int
    unchanged: int
    failed: tuple[FailedDocument, ...]
    seconds: float
    replaced: int = 0
    windows: int = 0

    def __str__(self) -> str:
        rate = self.written / self.seconds if self.seconds else 0.0
        split = f" in {self.windows:,} windows" if self.windows > self.written else ""
        first = f" (the first, {self.failed[0].id!r}: {self.failed[0].reason})" if self.failed else ""
        return (
            f"{self.written:,} documents written{split} in {self.seconds:.1f} s ({rate:.0f} a second)"
            f"{f', of which {self.replaced:,} replaced what was there under their id' if self.replaced else ''}, "
            f"{self.unchanged:,} unchanged, {len(self.failed):,} failed{first}"
        )
