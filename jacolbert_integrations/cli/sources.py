"""Which documents of a collection come from which files: what is read twice, what cannot be read, and what is gone."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..qdrant import FailedDocument, of_documents
from ..text.files import SOURCE_KEY
from ..text.windows import DOCUMENT_KEY

if TYPE_CHECKING:
    from ..qdrant import QdrantStore
    from ..text.files import FileReader
    from ..types import Document


class Sources:
    """What a run of ``jacolbert index`` reads, and what earlier runs have left in the collection.

    Args:
        store: The collection, bound to its model.

    Attributes:
        problems: What could not be read, or not be written as it is.
        repeated: Rows that were the same as one before them.
    """

    def __init__(self, store: QdrantStore) -> None:
        self._store = store
        self._seen: dict[str, bytes] = {}
        self.problems: list[FailedDocument] = []
        self.repeated = 0

    @property
    def root(self) -> Path:
        """The folder that the collection's paths are relative to; the working directory if it records none."""
        for point in self._store.points(with_vectors=False):
            if root := (point.payload.get(SOURCE_KEY) or {}).get("root"):
                return Path(root)
        return Path.cwd()

    def bad(self, where: str, reason: str) -> None:
        """Notes what cannot be read."""
        self.problems.append(FailedDocument(where, reason))

    def checked(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Yields the documents that have a text, each id once, and notes the others."""
        for document in documents:
            content = json.dumps([document.text, document.payload], sort_keys=True, default=str)
            digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
            before = self._seen.setdefault(document.id, digest)
            if not document.text.strip():
                self.bad(document.id, "it has no text, so there is nothing to find it by.")
            elif before is digest:
                yield document
            elif before == digest:
                self.repeated += 1
            else:
                self.bad(document.id, "its id was there before, with another content; only the first is written.")

    def gone(self, reader: FileReader, paths: Sequence[Path]) -> list[str]:
        """Returns the documents of these files and folders that were indexed once, and are no longer in them.

        Of a file that could not be read whole, nothing is gone; nor what another root's files have left.
        """
        root = reader.root.resolve().as_posix()
        folders = [reader.path_of(path) for path in paths if os.path.isdir(path)]  # noqa: PTH112 - of any name
        missing = set(_paths(reader, (path for path in paths if not os.path.exists(path))))  # noqa: PTH110 - of any name
        found: dict[str, None] = {}
        for point in self._store.points(with_vectors=False):
            document = str(point.payload.get(DOCUMENT_KEY, point.id))
            source = point.payload.get(SOURCE_KEY) or {}
            file = source.get("file")
            if file is None or document in self._seen:
                continue
            if source.get("root") != root and not Path(file).is_absolute():
                continue
            inside = any(folder in (".", file) or file.startswith(f"{folder}/") for folder in folders)
            away = file not in reader.there and not (reader.root / file).exists()
            if file in reader.files or ((inside or file in missing) and away):
                found[document] = None
        return list(found)

    def remove(self, documents: Sequence[str]) -> None:
        """Removes documents, with all of their windows."""
        self._store.delete(filter=of_documents(documents))


def _paths(reader: FileReader, paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        try:
            yield reader.path_of(path)
        except InputError:  # no path at all; it was told of when it was read
            continue
