"""Which models are here already, and what a download would bring."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import scan_cache_dir
from huggingface_hub.errors import CacheNotFound

from ..errors import CheckpointError
from .hub import files_of
from .layouts import inspect_checkpoint

PUBLISHED = (
    "bclavie/JaColBERT",
    "bclavie/JaColBERTv2",
    "answerdotai/JaColBERTv2.4",
    "answerdotai/JaColBERTv2.5",
)
"""The JaColBERT models, on the Hugging Face hub."""


@dataclass(frozen=True, slots=True)
class Download:
    """What loading a model takes from the hub.

    Attributes:
        files: Bytes of each file that is read, by its name.
        missing: Names of those that are not in the local cache.
    """

    files: dict[str, int]
    missing: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(self.files.values())

    @property
    def missing_bytes(self) -> int:
        """Of those that are not in the local cache."""
        return sum(self.files[name] for name in self.missing)


def size_of(folder: Path) -> int:
    """Returns the bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def cached_models() -> dict[str, int]:
    """Finds the late-interaction models in the local cache of the Hugging Face hub.

    Returns:
        Bytes of each, by its name. A model that was downloaded in part only, and any other kind, is left out.
    """
    try:
        repositories = scan_cache_dir().repos
    except CacheNotFound:
        return {}
    found: dict[str, int] = {}
    for repository in repositories:
        for revision in repository.revisions:
            try:
                inspect_checkpoint(revision.snapshot_path)
            except CheckpointError:
                continue
            found[repository.repo_id] = max(found.get(repository.repo_id, 0), revision.size_on_disk)
    return dict(sorted(found.items()))


def download_of(name: str, revision: str | None = None) -> Download:
    """Finds which files of a model are read, how large they are as the hub says, and which of them are here.

    Args:
        name: Its hub id.
        revision: Branch, tag or commit.

    Raises:
        CheckpointNotFoundError: If the hub has no such model, or cannot be asked.
    """
    found = files_of(name, revision=revision)
    return Download(
        {file.filename: file.file_size or 0 for file in found},
        tuple(file.filename for file in found if file.will_download),
    )
