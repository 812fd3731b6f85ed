"""Which models are here already, and what a download would bring."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from huggingface_hub import HfApi, scan_cache_dir, try_to_load_from_cache
from huggingface_hub.errors import CacheNotFound, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from ..errors import CheckpointError, CheckpointNotFoundError
from .hub import OTHER_FORMATS, SMALL_FILES, reason
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
    try:
        siblings = HfApi().model_info(name, revision=revision, files_metadata=True).siblings or []
    except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
        raise CheckpointNotFoundError(f"{name!r} cannot be looked up: {reason(error)}") from error
    sizes = {file.rfilename: file.size or 0 for file in siblings}
    files = {file: sizes[file] for file in _read(sizes)}
    here = {file for file in files if isinstance(try_to_load_from_cache(name, file, revision=revision), str)}
    return Download(files, tuple(file for file in files if file not in here))


def _read(names: Iterable[str]) -> list[str]:
    """Returns the files that loading fetches: ``.bin`` weights only where a part has no others."""
    names = list(names)
    safe = {str(PurePosixPath(name).parent) for name in names if name.endswith(".safetensors")}
    parts = {".", *(str(PurePosixPath(name).parent) for name in names if "_Dense/" in name)}
    weights = ["*.safetensors"] if parts <= safe else ["*.safetensors", "*.bin"]
    wanted = (*SMALL_FILES, *weights)
    return [
        name
        for name in names
        if any(fnmatch(name, each) for each in wanted) and not any(fnmatch(name, each) for each in OTHER_FORMATS)
    ]
