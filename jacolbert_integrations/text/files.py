"""Documents from files, read as they are needed."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from ..errors import InputError
from ..types import Document

TEXT_SUFFIXES = (".txt", ".md")
ROW_SUFFIXES = (".jsonl", ".tsv", ".csv")

SOURCE_KEY = "_jacolbert_source"
"""The payload key of where a document is from: the ``root`` of all files, and its ``file``, relative to that."""

ENCODINGS = ("utf-8-sig", "euc_jp", "cp932")
"""Tried in this order, each on the whole of a file; UTF-16 and UTF-32 are known by their byte order marks, ISO-2022-JP
by its escapes.

Strict decoding tells Japanese encodings apart where detectors, which count letters, take short texts for Korean or
Chinese: what is UTF-8 or EUC-JP by accident is rare in Shift_JIS.
"""

_LARGEST_CELL = 1 << 30
"""Characters of a table's cell; csv's own limit, for the whole process, is 131,072."""

_NOT_CP932 = re.compile("[\x80\uf8f0-\uf8f3]")
"""What Python's cp932 makes of bytes that stand for no character."""

BadRow: TypeAlias = Callable[[str, str], None]
"""Told of a file or a row that cannot be read: where it is, and what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class FileReader:
    """Reads documents of files, in order; one row, or one text file, is in memory at a time.

    - ``.jsonl``: an object a line with a text, and an id if it has one. The payload is what it has under ``"payload"``,
      or else all other keys.
    - ``.csv``, and ``.tsv`` with a header that names the text's column: rows with a text, and an id if there is such a
      column; the other columns are the payload.
    - ``.tsv`` without a header: id, tab and text in each line.
    - ``.txt`` and ``.md``: a file is a document, and its id is the file's path.
    - A folder: all of its files of these kinds, in the order of their names, folders in it too.

    Suffixes may be in capitals. A file's path is relative to the root, however it was given, and absolute outside of
    it. A row without an id gets one of its file's path and its content, so that rows may move, and equal rows of a file
    are one document.

    Attributes:
        root: The folder that paths of files are relative to.
        encoding: Of all files; None finds out for each of them (:data:`ENCODINGS`).
        text_key: The key, or the column, of a row's text.
        id_key: The key, or the column, of a row's id.
        bad: Told of what cannot be read, which is then left out. None raises an error instead.
        files: The paths of the files that were read without a fault, as ids and payloads have them.
        there: The paths of all files that were there, read or not.
    """

    root: Path = field(default_factory=Path.cwd)
    encoding: str | None = None
    text_key: str = "text"
    id_key: str = "id"
    bad: BadRow | None = None
    files: set[str] = field(default_factory=set)
    there: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.encoding is not None:
            try:
                "".encode(self.encoding)  # unlike a lookup, it also refuses base64 and the like
            except (LookupError, ValueError):
                raise InputError(f"{self.encoding!r:.60} is no encoding. Some are utf-8, cp932 and euc_jp.") from None

    def read(self, paths: Iterable[str | Path]) -> Iterator[Document]:
        """Yields the documents of files and folders.

        Raises:
            InputError: If something cannot be read, and nobody is told; when it is reached.
        """
        csv.field_size_limit(max(csv.field_size_limit(), _LARGEST_CELL))
        for path in map(Path, paths):
            with self._told(str(path)):
                if not os.path.isdir(path):  # noqa: PTH112 - a name that is too long is no folder either
                    yield from self._file(path)
                    continue
                kinds = (*TEXT_SUFFIXES, *ROW_SUFFIXES)
                files = [f for f in sorted(path.rglob("*")) if f.suffix.lower() in kinds and f.is_file()]
                if not files:
                    raise InputError(f"the folder {path} has no {', '.join(kinds)} in it.")
                for file in files:
                    yield from self._file(file)

    def path_of(self, file: Path) -> str:
        """Returns a file's path as ids and payloads have it: in Unicode's composed form, on every system.

        Raises:
            InputError: If it is none that a file can have.
        """
        try:
            whole = file.resolve()
        except (ValueError, RuntimeError, OSError) as error:  # a NUL, a circle of links, a name that is too long
            raise InputError(f"{str(file)!r:.80} is no path of a file ({error}).") from None
        root = self.root.resolve()
        path = (whole.relative_to(root) if whole.is_relative_to(root) else whole).as_posix()
        return unicodedata.normalize("NFC", path)  # macOS, and archives made there, have か and a mark for が

    def _file(self, file: Path) -> Iterator[Document]:
        faults: list[str] = []
        with self._told(str(file), faults):
            name = self.path_of(file)
            if os.path.exists(file):  # noqa: PTH110 - of any name
                self.there.add(name)
            suffix = file.suffix.lower()
            if suffix not in (*TEXT_SUFFIXES, *ROW_SUFFIXES):
                kinds = ", ".join((*ROW_SUFFIXES, *TEXT_SUFFIXES))
                raise InputError(f"{file} is none of {kinds}, nor a folder of such files.")
            try:
                encoding = _encoding(file) if self.encoding is None else _without_mark(self.encoding)
                with file.open(encoding=encoding, newline="") as opened:
                    if suffix in TEXT_SUFFIXES:
                        text = opened.read().replace("\r\n", "\n")
                        yield Document(name, text, {"file": name, **self._source(name)})
                    else:
                        for where, row in self._rows(file, suffix, opened):
                            with self._told(where, faults):
                                yield self._document(row, name, where)
            except OSError as error:
                raise InputError(f"{file} cannot be read: {error.strerror}.") from None
            except UnicodeError:
                raise InputError(f"{file} is not in the encoding {self.encoding!r}. Give its own.") from None
        if not faults:
            self.files.add(name)

    def _rows(self, file: Path, suffix: str, opened: TextIO) -> Iterator[tuple[str, Any]]:
        """Yields each row with where it is: an object, or, of a line that is none, an error."""
        if suffix == ".jsonl":
            for number, line in enumerate(opened, 1):
                if line.strip():
                    yield f"{file}, line {number}", _json(line)
            return
        delimiter = "," if suffix == ".csv" else "\t"
        header = next(csv.reader([opened.readline()], delimiter=delimiter), [])
        if self.text_key in header:
            if twice := sorted({column for column in header if column and header.count(column) > 1}):
                raise InputError(f"{file} has more than one column {twice[0]!r}. Give each a name of its own.")
            for begins, cells in _table(opened, delimiter):
                where = f"{file}, line {begins}"
                if isinstance(cells, InputError):
                    yield where, cells
                elif any(cell.strip() for cell in cells):
                    yield where, _cells(header, cells)
            return
        if suffix == ".csv":
            raise InputError(
                f"{file} has no column {self.text_key!r} in its first line, but {header[:8]}. Name the column of the "
                "texts (--text-key)."
            )
        opened.seek(0)
        for number, row in enumerate(opened, 1):
            if row.strip():
                identity, tab, text = row.rstrip("\r\n").partition("\t")
                good = tab and identity.strip()
                yield (
                    f"{file}, line {number}",
                    (
                        {self.id_key: identity.strip(), self.text_key: text}
                        if good
                        else InputError(f"expected an id, a tab and a text, but got {row:.80}")
                    ),
                )

    def _document(self, row: Any, name: str, where: str) -> Document:
        if isinstance(row, InputError):
            raise InputError(f"{where}: {row}")
        if not isinstance(row, dict) or not isinstance(row.get(self.text_key), str):
            shown = json.dumps(row, ensure_ascii=False, default=str)
            raise InputError(f"{where}: expected an object with a string under {self.text_key!r}, but got {shown:.80}")
        text, identity, payload = row[self.text_key], row.get(self.id_key), row.get("payload")
        if not isinstance(payload, dict):
            payload = {key: value for key, value in row.items() if key not in (self.id_key, self.text_key)}
        if identity is None or identity == "":
            content = json.dumps([text, payload], sort_keys=True)
            identity = f"{name}:{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        elif not isinstance(identity, str | int) or isinstance(identity, bool):
            raise InputError(f"{where}: the id is {identity!r:.60}, but it must be a string or a whole number.")
        return Document(_as_text(identity, where), text, {**payload, **self._source(name)})

    def _source(self, name: str) -> dict[str, Any]:
        return {SOURCE_KEY: {"root": self.root.resolve().as_posix(), "file": name}}

    @contextmanager
    def _told(self, where: str, faults: list[str] | None = None) -> Iterator[None]:
        """Tells of what cannot be read, where somebody wants to know."""
        try:
            yield
        except InputError as error:
            if self.bad is None:
                raise
            if faults is not None:
                faults.append(where)
            self.bad(where, str(error).removeprefix(f"{where}: "))


def read_documents(paths: Iterable[str | Path], **options: Any) -> Iterator[Document]:
    """Reads the documents of files, in order, as a :class:`FileReader` does.

    Args:
        paths: Files and folders.
        **options: For the reader.

    Raises:
        InputError: If a file is not there, of no such kind, of an unknown encoding, or has a line that cannot be read;
            when it is reached.
    """
    return FileReader(**options).read(paths)


def _encoding(file: Path) -> str:
    """Finds the first encoding in which all of a file can be read."""
    with file.open("rb") as opened:
        start = opened.read(1 << 20)
        if start.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            return "utf-32"
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        for encoding in (*(["iso2022_jp_ext"] if b"\x1b$" in start else []), *ENCODINGS):
            opened.seek(0)
            decoder = codecs.getincrementaldecoder(encoding)()
            try:
                while block := opened.read(1 << 20):
                    text = decoder.decode(block)
                    if encoding == "cp932" and _NOT_CP932.search(text):
                        raise UnicodeDecodeError(encoding, b"", 0, 1, "a byte that stands for no character")
                decoder.decode(b"", final=True)
            except UnicodeDecodeError:
                continue
            return encoding
    raise InputError(
        f"{file} is no text in UTF-8, UTF-16, UTF-32, EUC-JP, Shift_JIS (cp932) or ISO-2022-JP. Say "
        "which encoding it is in (--encoding), "
        "or convert it first."
    )


def _without_mark(encoding: str) -> str:
    """Returns an encoding in which a byte order mark is no part of the text."""
    return "utf-8-sig" if codecs.lookup(encoding).name == "utf-8" else encoding


def _table(opened: TextIO, delimiter: str) -> Iterator[tuple[int, list[str] | InputError]]:
    """Yields the rows below a table's header, each with the line that it begins in; a bad one is an error."""
    rows = csv.reader(opened, delimiter=delimiter, strict=True)
    while True:
        line = rows.line_num + 2
        try:
            yield line, next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, InputError(f"it is no row of a table ({error}).")


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"no JSON ({error}).")


def _cells(header: list[str], cells: list[str]) -> Any:
    if len(cells) != len(header):
        return InputError(f"it has {len(cells)} cells, but the first line names {len(header)} columns.")
    return dict(zip(header, cells, strict=True))


def _as_text(identity: str | int, where: str) -> str:
    try:
        return str(identity)
    except ValueError:
        raise InputError(f"{where}: the id is a number of thousands of digits.") from None
