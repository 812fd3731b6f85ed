"""n-way tuples by ids, with a teacher's scores: the layout in which ColBERT's training data is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, RecipeError
from ..records import Example
from .arrow import cached_table, check_datasets, without_empty_scores
from .collection import text_dataset
from .columns import dataset_rows
from .examples import Examples
from .layouts import IdTuple, check_scored, parse_examples, parse_ids
from .rows import BadRows, parse_rows, read_rows, row_format, write_json_rows

if TYPE_CHECKING:
    from datasets import Dataset


def nway_dataset(
    file: str | Path,
    queries: str | Path,
    collection: str | Path,
    *,
    ways: int = 32,
    cache_dir: str | Path,
    skipped: BadRows | None = None,
    show_progress_bar: bool | None = None,
) -> Dataset:
    """Reads a file of n-way tuples as a memory-mapped dataset to distil from; texts are looked up as rows are read.

    Memory stays flat whatever the number of tuples: they, the queries and the collection stay on disk, and rows can
    be read in any order. What does stay in memory is an index of the collection's ids (sentence-transformers'
    :func:`~sentence_transformers.util.resolve_ids`).

    Each line is ``[qid, [pid, score], …]`` as ColBERT writes it, ``[qid, pid, …]`` without scores, or an object as
    answerdotai/MMARCO-japanese-32-scored-triplets has it, ``{"query_id", "pos_id", "neg_ids", "pos_score",
    "neg_scores"}``, or PyLate, ``{"query_id", "document_ids", "scores"}``. The positive is first.

    Args:
        file: The tuples: ``.jsonl`` or ``.json`` with one a line, or ``.tsv`` with ``qid``, ``pid``, ``pid`` …,
            perhaps with ``.gz`` behind it, or ``.parquet``.
        queries: The queries' ids and texts, as :func:`~.collection.text_dataset` reads them.
        collection: The passages' ids and texts, in the same way.
        ways: Passages of a row: the first so many of a tuple, as ColBERT takes them.
        cache_dir: Where the tables are kept. They are made anew when a file's size or time of change is another.
        skipped: Takes the account of bad rows, and allows them; None stops at them, once all have been counted.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        Rows of ``query``, ``document_1`` to ``document_n`` and, if the tuples have them, ``scores``, as
        ``MultiVectorDistillKLDivLoss`` and ``MultiVectorMarginMSELoss`` take them. They are made as they are read:
        ``column_names`` still names the columns on disk, ``query_id``, ``document_ids`` and ``scores``.

    Raises:
        TrainingDataError: If rows cannot be used and ``skipped`` is None: an unknown id, a missing passage, fewer
            passages than ``ways``, a wrong number of scores, or one that is no finite number.
        RecipeError: If ``ways`` is below 1.
        InputError: If a file's suffix names no format.
        MissingExtraError: If the training extra is not installed.
    """
    if ways < 1:
        raise RecipeError(f"ways is {ways}, but a tuple needs at least 1 passage, and 2 to learn from its scores.")
    check_datasets()
    from sentence_transformers.util import resolve_ids

    tuples, lookups = _tables(file, queries, collection, ways, cache_dir, skipped, show_progress_bar)
    return tuples.with_transform(resolve_ids(lookups, keep_columns=("scores",)))


def read_nway(
    file: str | Path,
    queries: str | Path,
    collection: str | Path,
    *,
    cache_dir: str | Path,
    skipped: BadRows | None = None,
    show_progress_bar: bool | None = None,
) -> Examples:
    """Reads the same tuples as records, each with all of its passages, its ids and its scores.

    Args:
        file: The tuples.
        queries: The queries' ids and texts.
        collection: The passages' ids and texts.
        cache_dir: As in :func:`nway_dataset`, which shares its tables of texts.
        skipped: As in :func:`nway_dataset`.
        show_progress_bar: As in :func:`nway_dataset`.

    Returns:
        The examples, read from disk at each pass.

    Raises:
        TrainingDataError: As in :func:`nway_dataset`.
        InputError: If a file's suffix names no format.
        MissingExtraError: If the training extra is not installed.
    """
    check_datasets()
    from sentence_transformers.util import resolve_ids

    tuples, lookups = _tables(file, queries, collection, None, cache_dir, skipped, show_progress_bar)
    kept = ("query_id", "document_ids", "scores")
    resolved = tuples.with_transform(resolve_ids(lookups, keep_columns=kept, output_format="lists"))
    return Examples(str(file), partial(dataset_rows, resolved), parse_examples, checked=len(tuples))


def write_nway(file: str | Path, examples: Iterable[Example]) -> None:
    """Writes the ids and scores of examples in ColBERT's layout, whole or not at all.

    Their texts are written by :func:`~.collection.write_texts`. Ids that are whole numbers are written as
    numbers, as colbert-ai needs them.

    Args:
        file: A name that ends with ``.jsonl`` or ``.json``; ``.gz`` behind it packs it.
        examples: Examples with a ``query_id`` and ``passage_ids``.

    Raises:
        InputError: If an example has no ids, or the file's suffix is another.
    """
    path = Path(file)
    if row_format(path) != "jsonl":
        raise InputError(
            f"cannot write {path}: give a name that ends with .jsonl or .json, perhaps with .gz behind it."
        )
    write_json_rows(path, (_row(example, number) for number, example in enumerate(examples, 1)))


def _row(example: Example, number: int) -> list[Any]:
    if example.query_id is None or example.passage_ids is None:
        raise InputError(f"example {number} has no ids, which is all that an n-way file holds. Give it some.")
    passages = [_number_or_string(key) for key in example.passage_ids]
    query = _number_or_string(example.query_id)
    if example.scores is None:
        return [query, *passages]
    return [query, *([key, score] for key, score in zip(passages, example.scores, strict=True))]


def _number_or_string(key: str) -> int | str:
    return int(key) if key.isdecimal() and len(key) < 19 and str(int(key)) == key else key


def _tables(
    file: str | Path,
    queries: str | Path,
    collection: str | Path,
    ways: int | None,
    cache_dir: str | Path,
    skipped: BadRows | None,
    show_progress_bar: bool | None,
) -> tuple[Dataset, dict[str, Any]]:
    """Returns the tuples as ids, and the tables in which :func:`resolve_ids` finds their texts."""
    from datasets import Features, Sequence, Value

    path = Path(file)
    row_format(path)
    query_texts, passage_texts = (
        text_dataset(source, cache_dir=cache_dir, skipped=skipped, show_progress_bar=show_progress_bar)
        for source in (queries, collection)
    )

    def rows(bad: BadRows) -> Iterator[dict[str, Any]]:
        known_queries, known_passages = _ids(query_texts), _ids(passage_texts)
        names = (Path(queries).name, Path(collection).name)
        scored: bool | None = None
        for line, found in parse_rows(
            path.name, read_rows(path, bad, show_progress_bar=show_progress_bar), parse_ids, bad
        ):
            try:
                item = found if ways is None else found.cut(ways)
                _check_known(item, known_queries, known_passages, names)
                scored = check_scored(item.scores is not None, scored)
            except InputError as error:
                bad.add(path.name, line, str(error))
                continue
            yield {"query_id": item.query_id, "document_ids": item.passage_ids, "scores": item.scores}

    features = Features(
        {"query_id": Value("string"), "document_ids": Sequence(Value("string")), "scores": Sequence(Value("float64"))}
    )
    sources = [path, queries, collection]
    tuples, bad = cached_table(cache_dir, "nway", sources, {"ways": ways}, features, rows)
    bad.settle(str(path), skipped)
    lookups = {"query_id": (query_texts, "id", "text"), "document_ids": (passage_texts, "id", "text")}
    return without_empty_scores(tuples), lookups


def _ids(texts: Dataset) -> frozenset[str]:
    return frozenset(key for batch in texts.select_columns("id").iter(batch_size=10_000) for key in batch["id"])


def _check_known(item: IdTuple, queries: frozenset[str], passages: frozenset[str], names: tuple[str, str]) -> None:
    if item.query_id not in queries:
        raise InputError(f"the query id {item.query_id!r} is not in {names[0]}.")
    for key in item.passage_ids:
        if key not in passages:
            raise InputError(f"the passage id {key!r} is not in {names[1]}.")
