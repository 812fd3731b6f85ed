"""Documents from files, read as they are needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..types import Document

TEXT_SUFFIXES = (".txt", ".md")
ROW_SUFFIXES = (".jsonl", ".tsv")


def read_documents(paths: Iterable[str | Path]) -> Iterator[Document]:
    """Reads the documents of files, in order; one line, or one text file, is in memory at a time.

    - ``.jsonl``: an object a line with ``"text"``, and ``"id"`` if it has one. The payload is what it has under
      ``"payload"``, or else all other keys.
    - ``.tsv``: id, tab and text a line.
    - ``.txt`` and ``.md``: a file is a document; its id is its path as it was given, also its payload's ``"file"``.
    - A folder: all of its files of these kinds, in the order of their names, folders in it too.

    A row without an id gets the name of its file and its line.

    Args:
        paths: Files and folders.

    Raises:
        InputError: If a file is not there, of no such kind, no UTF-8, or has a line that cannot be read; when it is
            reached.
    """
    for path in map(Path, paths):
        if path.is_dir():
            files = [f for f in sorted(path.rglob("*")) if f.suffix in (*TEXT_SUFFIXES, *ROW_SUFFIXES) and f.is_file()]
            if not files:
                raise InputError(f"the folder {path} has no {', '.join((*TEXT_SUFFIXES, *ROW_SUFFIXES))} in it.")
            for file in files:
                yield from _read(file)
        else:
            yield from _read(path)


def _read(file: Path) -> Iterator[Document]:
    try:
        if file.suffix in TEXT_SUFFIXES:
            yield Document(str(file), file.read_text(encoding="utf-8"), {"file": str(file)})
        elif file.suffix in ROW_SUFFIXES:
            row = _json_row if file.suffix == ".jsonl" else _tab_row
            with file.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield row(line.rstrip("\r\n"), file, number)
        else:
            kinds = ", ".join((*ROW_SUFFIXES, *TEXT_SUFFIXES))
            raise InputError(f"{file} is none of {kinds}, nor a folder of such files.")
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no UTF-8 (byte {error.start}). Convert it first.") from None


def _json_row(line: str, file: Path, number: int) -> Document:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise InputError(f"{file}, line {number}: no JSON ({error}).") from None
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise InputError(f"{file}, line {number}: expected an object with a string under 'text', but got {line:.80}")
    payload = row.get("payload")
    if not isinstance(payload, dict):
        payload = {key: value for key, value in row.items() if key not in ("id", "text")}
    identity = row.get("id")
    return Document(f"{file.name}:{number}" if identity is None else str(identity), row["text"], payload)


def _tab_row(line: str, file: Path, number: int) -> Document:
    identity, tab, text = line.partition("\t")
    if not tab or not identity.strip():
        raise InputError(f"{file}, line {number}: expected an id, a tab and a text, but got {line:.80}")
    return Document(identity.strip(), text, {})
