"""Collections and query files: the texts that the ids of n-way tuples stand for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from .arrow import cached_table, check_datasets
from .layouts import text_id, valid_text
from .rows import BadRows, parse_rows, read_rows, row_format, whole_file, write_json_rows

if TYPE_CHECKING:
    from datasets import Dataset

_IDS = ("id", "_id", "pid", "qid", "passage_id", "document_id", "query_id")
_TEXTS = ("text", "passage", "document", "query")


def text_dataset(
    file: str | Path,
    *,
    cache_dir: str | Path,
    skipped: BadRows | None = None,
    show_progress_bar: bool | None = None,
) -> Dataset:
    """Reads a collection of passages, or a set of queries, as a memory-mapped table of ids and texts.

    The file is tab-separated, ``id``, ``text`` and perhaps ``title`` a line, as ColBERT takes it, a title being
    joined to its text as ColBERT does, ``title | text``. Or it is JSON lines or Parquet with the keys

    - ``id``, ``_id``, ``pid``, ``qid``, ``passage_id``, ``document_id`` or ``query_id``, and
    - ``text``, ``passage``, ``document`` or ``query``.

    Unlike ColBERT's, the ids may be any, and in any order.

    Args:
        file: ``.tsv`` or ``.jsonl``, perhaps with ``.gz`` behind it, or ``.parquet``.
        cache_dir: Where the table is kept. It is made anew when the file's size or time of change is another.
        skipped: Takes the account of bad rows, and allows them; None stops at them.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        The columns ``id`` and ``text``, both strings.

    Raises:
        TrainingDataError: If a row has no text or no id, or an id comes twice, and ``skipped`` is None.
        InputError: If the file's suffix names no format.
        MissingExtraError: If the training extra is not installed.
    """
    check_datasets()
    from datasets import Features, Value

    path = Path(file)
    row_format(path)

    def rows(bad: BadRows) -> Iterator[dict[str, str]]:
        seen: set[str] = set()
        for line, (key, text) in parse_rows(
            path.name, read_rows(path, bad, show_progress_bar=show_progress_bar), _parse_text, bad
        ):
            if key in seen:
                bad.add(path.name, line, f"the id {key!r} has come before. Give every text an id of its own.")
                continue
            seen.add(key)
            yield {"id": key, "text": text}

    features = Features({"id": Value("string"), "text": Value("string")})
    dataset, bad = cached_table(cache_dir, "texts", [path], {}, features, rows)
    bad.settle(str(path), skipped)
    return dataset


def write_texts(file: str | Path, texts: Iterable[tuple[str, str]]) -> None:
    """Writes ids and texts as :func:`text_dataset` reads them, whole or not at all.

    Args:
        file: ``.tsv``, which ColBERT reads too if the ids count from 0, or ``.jsonl``; ``.gz`` behind it packs it.
        texts: Each id with its text.

    Raises:
        InputError: If an id or text is empty, or holds a tab or a line break that a ``.tsv`` cannot.
    """
    path = Path(file)
    format = row_format(path)
    if format == "jsonl":
        write_json_rows(path, ({"id": key, "text": text} for key, text in map(_checked, texts)))
        return
    if format != "tsv":
        raise InputError(f"cannot write {path}: give a name that ends with .tsv or .jsonl, perhaps with .gz behind it.")
    with whole_file(path) as stream:
        for key, text in map(_checked, texts):
            if any(character in field for field in (key, text) for character in "\t\r\n"):
                raise InputError(f"the text of id {key!r} holds a tab or a line break. Write a .jsonl file instead.")
            stream.write(f"{key}\t{text}\n".encode())


def _parse_text(row: Any) -> tuple[str, str]:
    if isinstance(row, Mapping):
        key, text = _value(row, _IDS, "id"), _value(row, _TEXTS, "text")
        return _checked((text_id(key, "the id"), valid_text(text, "the text")))
    if not isinstance(row, list) or len(row) not in (2, 3) or not all(isinstance(field, str) for field in row):
        count = f"{len(row)} fields" if isinstance(row, list) else "something else"
        raise InputError(f"got {count}, expected id, text and perhaps title between tabs, or an object with both.")
    key, text, *title = row
    return _checked((key, f"{title[0]} | {text}" if title else text))


def _checked(item: tuple[str, str]) -> tuple[str, str]:
    key, text = text_id(item[0], "the id"), valid_text(item[1], "the text")
    if not text.strip():
        raise InputError(f"the text of id {key!r} is empty. Give it a text, or leave the row out.")
    return key, text


def _value(row: Mapping[str, Any], names: tuple[str, ...], what: str) -> Any:
    found = [name for name in names if row.get(name) is not None]
    if len(found) != 1:
        got = f"both {found[0]!r} and {found[1]!r}" if found else f"only {sorted(row)}"
        raise InputError(f"got {got}, expected one key for the {what}: {', '.join(map(repr, names))}.")
    return row[found[0]]
