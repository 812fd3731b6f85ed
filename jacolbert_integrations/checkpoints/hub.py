"""From a name to a directory: a path, a hub id, or a bundled model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import DryRunFileInfo, snapshot_download
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ..errors import CheckpointNotFoundError

_MODELS = Path(__file__).parent.parent / "models"

BUNDLED: Mapping[str, Path] = {"jacolbert-small": _MODELS / "small", "jacolbert-mini": _MODELS / "mini"}
"""Name to directory of each model that the package brings."""

DEFAULT_NAME = "jacolbert-small"
"""The bundled model that is loaded where no other is named."""

RUN_MODEL = "model"
"""The folder of a training run that its model is in."""

_SMALL_FILES = ("*.json", "*.txt", "*.model", "*.py", "artifact.metadata")
_SAFETENSORS, _BIN = ("*.safetensors",), ("*.bin",)
_OTHER_FORMATS = ("onnx/*", "openvino/*", "runs/*", "checkpoint-*/*")


def default_name() -> str:
    """Returns the name of the bundled model that is loaded where no other is named."""
    return DEFAULT_NAME


def resolve_checkpoint(
    name_or_path: str | Path | None,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
) -> tuple[Path, str]:
    """Finds the directory of a checkpoint, downloading it if need be.

    The name of a bundled model is never a directory's; ``"./jacolbert-mini"`` would be. Of a hub repository the
    safetensors weights are fetched, and ``.bin`` files only where there are none.

    Returns:
        The directory, and the name to call the model by.

    Raises:
        CheckpointNotFoundError: If it is neither a directory nor to be had from the hub.
    """
    if name_or_path is None:
        name_or_path = default_name()
    if isinstance(name_or_path, str) and name_or_path in BUNDLED:
        return BUNDLED[name_or_path], name_or_path
    if not isinstance(name_or_path, str | Path) or not str(name_or_path).strip():
        raise CheckpointNotFoundError(
            f"{name_or_path!r} names no checkpoint. Give a directory, a hub id such as 'answerdotai/JaColBERTv2.5', or "
            f"None for the bundled {default_name()}."
        )
    try:
        path = Path(name_or_path).expanduser()
        path.is_dir()
    except (OSError, RuntimeError) as error:  # too long a name, or no home
        raise CheckpointNotFoundError(f"{str(name_or_path)[:200]!r} cannot be looked up: {error!s:.120}.") from None
    if path.is_dir():
        return path, local_name(path)
    name = str(name_or_path)
    if path.exists() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise CheckpointNotFoundError(
            f"{name!r} is {'a file' if path.exists() else 'no directory'}. Give the directory of a checkpoint, or a "
            "hub id such as 'answerdotai/JaColBERTv2.5'."
        )

    options: dict[str, Any] = {
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
        "ignore_patterns": list(_OTHER_FORMATS),
    }
    with _asking(name, revision):
        folder = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, *_SAFETENSORS], **options))
        if not all(any(part.glob("*.safetensors")) for part in (folder, *folder.glob("*_Dense"))):
            folder = Path(snapshot_download(name, allow_patterns=[*_SMALL_FILES, *_SAFETENSORS, *_BIN], **options))
    return folder, name


def files_of(name: str, *, revision: str | None = None) -> list[DryRunFileInfo]:
    """Finds which files of a hub repository loading would fetch: how large each is, and whether it is here already.

    Raises:
        CheckpointNotFoundError: If it is not to be had from the hub, or the hub cannot be asked.
    """
    with _asking(name, revision):
        found: list[DryRunFileInfo] = snapshot_download(
            name,
            revision=revision,
            allow_patterns=[*_SMALL_FILES, *_SAFETENSORS, *_BIN],
            ignore_patterns=list(_OTHER_FORMATS),
            dry_run=True,
        )
    parts = {PurePosixPath(file.filename).parent for file in found}
    parts = {part for part in parts if part == PurePosixPath() or part.match("*_Dense")}
    safe = {PurePosixPath(file.filename).parent for file in found if file.filename.endswith(".safetensors")}
    return [file for file in found if not (parts <= safe and file.filename.endswith(".bin"))]


@contextmanager
def _asking(name: str, revision: str | None) -> Iterator[None]:
    """Turns what the hub, or the lack of one, raises into an error that says what to do."""
    try:
        yield
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        where = f"{name!r}" + (f" at revision {revision!r}" if revision else "")
        raise CheckpointNotFoundError(f"{where} cannot be had: {_reason(error)}") from error


def local_name(path: Path) -> str:
    """Returns the name of a model in a directory: the directory's, or, inside a training run, the run's."""
    whole = path.resolve()
    return whole.parent.name if whole.name == RUN_MODEL else whole.name


def _reason(error: BaseException) -> str:
    if isinstance(error, DryRunError) and error.__cause__ is not None:
        return _reason(error.__cause__)
    if isinstance(error, HFValidationError):
        return "it is neither a directory nor a valid hub id."
    if isinstance(error, GatedRepoError):
        return "the repository is gated. Ask for access on its page, and pass token= or run 'hf auth login'."
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such directory and no such public repository on the hub. If it is private, pass token=."
    if isinstance(error, RevisionNotFoundError):
        return "the repository has no such revision."
    if isinstance(error, LocalEntryNotFoundError | OfflineModeIsEnabled):
        return (
            "it is not in the local cache, and the hub was not or could not be asked (local_files_only, "
            "HF_HUB_OFFLINE, or no network). Load it once while online, or give a directory."
        )
    return f"{type(error).__name__}: the hub did not answer as expected."
