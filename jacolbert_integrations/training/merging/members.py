"""The members of a merge: where they are, and whether they can be merged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from ...checkpoints.hub import resolve_checkpoint
from ...checkpoints.layouts import Layout, inspect_checkpoint
from ...checkpoints.weights import stored_weights
from ...encoding.encoder import JaColBERT
from ...encoding.saving import save_stanford
from ...errors import InputError, MergeError
from .compatibility import difference_of, facts_of

PROVENANCE_FILE = "merge.json"
"""What stands beside the weights of a merged checkpoint and says what they were made of."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """A member as it was asked for: what was given, the directory, and the name to call it by."""

    given: str
    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """A checkpoint that goes into a merge.

    Attributes:
        name: Its hub id, or the last component of its directory's path.
        fingerprint: SHA-256 of its weights (:func:`~jacolbert_integrations.checkpoints.weights.fingerprint`).
        path: Its directory.
        pooler: Whether its files hold a pooler, which no token vector passes through.
    """

    name: str
    fingerprint: str
    path: Path
    pooler: bool

    def load(self, device: str | None = "cpu") -> JaColBERT:
        """Loads the model, in float32."""
        return JaColBERT.from_pretrained(self.path, device=device, dtype=torch.float32)


def find_members(checkpoints: Sequence[str | Path], output: str | Path) -> list[Source]:
    """Finds the directories of the members, and looks whether the result can take its place beside them.

    Args:
        checkpoints: Directories or hub ids, at least two.
        output: Where the result will be written: a new or empty directory, or one that an earlier merge wrote.

    Raises:
        MergeError: If there are fewer than two members, or writing ``output`` would destroy something.
        CheckpointNotFoundError: If a member is neither a directory nor to be had from the hub.
    """
    if isinstance(checkpoints, (str, Path)) or len(checkpoints) < 2:
        given = checkpoints if isinstance(checkpoints, (str, Path)) else list(map(str, checkpoints))
        raise MergeError(f"a merge needs a list of at least two checkpoints, but got {str(given)!r}. Add another.")
    target = Path(output)
    sources = []
    for checkpoint in checkpoints:
        path, name = resolve_checkpoint(checkpoint)
        sources.append(Source(str(checkpoint), path, name))
        if path.resolve().is_relative_to(target.resolve()):
            raise MergeError(
                f"the output {target} is, or holds, the member {checkpoint}, which writing the result would destroy. "
                "Give another output."
            )
    if target.exists():
        if not target.is_dir():
            raise MergeError(f"the output {target} is a file, but a directory is written. Give another output.")
        if any(target.iterdir()) and not (target / PROVENANCE_FILE).is_file():
            raise MergeError(
                f"the output {target} is no empty directory, nor one that a merge has written (it has no "
                f"{PROVENANCE_FILE}), and it would be replaced as a whole. Give another output, or delete it first."
            )
    return sources


def read_members(
    sources: Sequence[Source], *, show_progress_bar: bool | None = None
) -> Iterator[tuple[Member, JaColBERT]]:
    """Loads the members one after the other, in float32, and checks each against the first.

    Args:
        sources: From :func:`find_members`.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        MergeError: If a member differs from the first in architecture, tokenizer or settings, has the
            same weights as one before it, holds NaN or infinity, or cannot be written in the Stanford layout.
        CheckpointError: If a member cannot be loaded.
    """
    facts: dict[str, Any] | None = None
    seen: dict[str, str] = {}
    for source in progress(sources, "Reading members", show_progress_bar):
        model = JaColBERT.from_pretrained(source.path, device="cpu")
        own = facts_of(model, source.given)
        if facts is None:
            facts = own
            _check_writable(source, model)
        elif difference := difference_of(facts, own):
            raise MergeError(
                f"{source.given} cannot be merged with {sources[0].given}: {difference}. Only checkpoints of the same "
                "architecture, tokenizer and settings can be merged; leave one of the two out."
            )
        _check_finite(source, model)
        if (twin := seen.get(model.fingerprint)) is not None:
            raise MergeError(
                f"{source.given} has the same weights as {twin}. Give it once; weights say how much a member counts."
            )
        seen[model.fingerprint] = source.given
        pooler = any("pooler." in name for name, _ in stored_weights(source.path))
        yield Member(source.name, model.fingerprint, source.path, pooler), model


def progress(items: Iterable[T], description: str, show: bool | None) -> Iterable[T]:
    """Shows a progress bar over members; None shows it after a second, on a terminal."""
    return tqdm(
        items,
        desc=description,
        unit=" members",
        disable=None if show is None else not show,
        delay=1.0 if show is None else 0.0,
    )


def _check_finite(source: Source, model: JaColBERT) -> None:
    for name, tensor in model.model.state_dict().items():
        if not torch.isfinite(tensor).all():
            raise MergeError(
                f"{source.given} holds NaN or infinity in {name!r}, which no mean can mend: its training has diverged, "
                "or the file is damaged. Leave it out."
            )


def _check_writable(source: Source, model: JaColBERT) -> None:
    """Tries to write a member of another layout than the result's before the long work, not after it."""
    checkpoint = inspect_checkpoint(source.path)
    if checkpoint.layout is Layout.STANFORD and not checkpoint.remote_code:
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_stanford(model.model, Path(folder) / "trial")
        except InputError as error:
            raise MergeError(
                f"{source.given} cannot be merged, since the result is in Stanford layout: {error}"
            ) from None
