"""The aliases of a folder of collections: one file, changed by one process and thread at a time."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import EngineError
from ...stores.addresses import check_collection_name

FILE = "aliases.json"
_LOCK = ".aliases.lock"
_PATIENCE = 60  # seconds that somebody else may take to change a file of some lines


class Aliases:
    """Names that mean a collection, and can be moved to another in one step.

    Safe in threads, and in processes that have the same folder open.

    Args:
        folder: Where the collections are.
        unfinished: What the names of files begin with that are being written.
    """

    def __init__(self, folder: Path, unfinished: str) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._unfinished = unfinished

    def read(self) -> dict[str, str]:
        """Returns the collection of each alias.

        Raises:
            EngineError: If the file cannot be read, or is damaged.
        """
        try:
            text = self._file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise EngineError(f"{self._file} cannot be read: {error}.") from None
        try:
            aliases = json.loads(text)
            if not isinstance(aliases, dict):
                raise ValueError("it is no object")
            for alias, collection in aliases.items():
                check_collection_name(alias)
                check_collection_name(collection)
        except (ValueError, RecursionError) as error:
            raise EngineError(
                f"{self._file} is damaged ({error}). It holds names of aliases and their collections: mend it, or "
                "delete it, and give the aliases again."
            ) from None
        return dict(aliases)

    @contextmanager
    def changing(self) -> Iterator[dict[str, str]]:
        """Yields the aliases, for changes that are written at the end, or not at all if there is an error.

        Raises:
            EngineError: If the file cannot be read or written, or somebody else keeps it locked.
        """
        try:
            with FileLock(self._folder / _LOCK, timeout=_PATIENCE):
                aliases = self.read()
                before = dict(aliases)
                yield aliases
                if aliases != before:
                    self._write(aliases)
        except Timeout:
            raise EngineError(f"another process has kept {self._file} locked for {_PATIENCE} s. Try again.") from None
        except OSError as error:
            raise EngineError(f"Qdrant Edge could not write the aliases: {error}.") from error

    def _write(self, aliases: Mapping[str, str]) -> None:
        descriptor, name = tempfile.mkstemp(prefix=self._unfinished, suffix=f"-{FILE}", dir=self._folder)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(aliases, file, ensure_ascii=False)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
