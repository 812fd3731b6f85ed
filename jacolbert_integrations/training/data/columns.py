"""Examples as a ``datasets.Dataset`` and back, in the columns that sentence-transformers' losses take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError, RecipeError, TrainingDataError
from ..records import Example
from .arrow import cached_table, check_datasets, without_empty_scores
from .examples import ExampleFormat, Examples, example_rows
from .layouts import check_scored, check_ways, parse_examples
from .rows import BadRows, parse_rows

if TYPE_CHECKING:
    from datasets import Dataset, Features


def to_dataset(examples: Iterable[Example], *, ways: int | None = None) -> Dataset:
    """Builds a dataset in memory from examples; :func:`file_dataset` is for files that are too large for that.

    Args:
        examples: The examples.
        ways: Passages of a row: the first so many of each example. None takes all, which must be as many in each.

    Returns:
        The columns ``query`` and ``document``, or ``query`` and ``document_1`` to ``document_n`` for n > 1, and
        ``scores``, a list of n numbers, if the examples have them.

    Raises:
        TrainingDataError: If there is no example, an example has fewer passages than ``ways``, or not all have
            scores where some do.
        RecipeError: If ``ways`` is below 1.
        MissingExtraError: If the training extra is not installed.
    """
    check_datasets()
    from datasets import Dataset

    _check(ways)
    rows: list[dict[str, Any]] = []
    problems: list[tuple[int, str]] = []
    scored: bool | None = None
    for number, example in enumerate(examples, 1):
        ways = example.ways if ways is None else ways
        scored = example.scores is not None if scored is None else scored
        try:
            rows.append(_columns(example, ways, scored))
        except InputError as error:
            problems.append((number, str(error)))
    if problems:
        number, reason = problems[0]
        raise TrainingDataError(
            f"{len(problems):,} of {len(rows) + len(problems):,} examples do not fit into a dataset. The first is "
            f"example {number}: {reason}",
            problems,
        )
    if ways is None or scored is None:
        raise TrainingDataError("there is no example to make a dataset of.")
    return Dataset.from_list(rows, features=_features(ways, scored))


def file_dataset(
    file: str | Path,
    *,
    ways: int,
    cache_dir: str | Path,
    format: ExampleFormat | None = None,
    skipped: BadRows | None = None,
    show_progress_bar: bool | None = None,
) -> Dataset:
    """Reads a file of examples as a memory-mapped dataset: memory stays flat whatever its size.

    Args:
        file: As in :func:`~jacolbert_integrations.training.data.examples.read_examples`.
        ways: Passages of a row: the first so many of each example.
        cache_dir: Where the table is kept. It is made anew when the file's size or time of change is another.
        format: As in :func:`~jacolbert_integrations.training.data.examples.read_examples`.
        skipped: Takes the account of bad rows, and allows them; None stops at them, once all have been counted.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        The columns of :func:`to_dataset`.

    Raises:
        TrainingDataError: If rows cannot be used and ``skipped`` is None.
        RecipeError: If ``ways`` is below 1.
        InputError: If the suffix names no format.
        MissingExtraError: If the training extra is not installed.
    """
    check_datasets()
    _check(ways)
    path = Path(file)
    open_rows, parse = example_rows(path, format=format, show_progress_bar=show_progress_bar)

    def rows(bad: BadRows) -> Iterator[dict[str, Any]]:
        scored: bool | None = None
        for line, examples in parse_rows(path.name, open_rows(bad), parse, bad):
            try:
                made = [_columns(example, ways, scored) for example in examples]
            except InputError as error:
                bad.add(path.name, line, str(error))
            else:
                scored = examples[0].scores is not None
                yield from made

    settings = {"ways": ways, "format": format}
    dataset, bad = cached_table(cache_dir, "examples", [path], settings, _features(ways, scored=True), rows)
    bad.settle(str(path), skipped)
    return without_empty_scores(dataset)


def from_dataset(dataset: Dataset, *, skipped: BadRows | None = None) -> Examples:
    """Returns the examples of a dataset with the columns of a training file.

    Args:
        dataset: Its columns are the keys of :func:`~jacolbert_integrations.training.data.examples.read_examples`,
            which are those of :func:`to_dataset`, and of sentence-transformers' pairs, triplets and n-tuples, among
            others.
        skipped: Takes the account of bad rows, and allows them; None stops at them, once all have been counted.

    Returns:
        The examples, read from the dataset at each pass.

    Raises:
        TrainingDataError: If rows cannot be used and ``skipped`` is None, or no row can.
    """
    return Examples("the dataset", partial(dataset_rows, dataset), parse_examples, skipped)


def dataset_rows(dataset: Dataset, bad: BadRows) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields a dataset's rows, each with its number from 1."""
    for batch in dataset.iter(batch_size=100):
        for values in zip(*batch.values(), strict=True):
            bad.rows += 1
            yield bad.rows, dict(zip(batch, values, strict=True))


def _check(ways: int | None) -> None:
    if ways is not None and ways < 1:
        raise RecipeError(f"ways is {ways}, but an example has at least 1 passage.")


def _columns(example: Example, ways: int, scored_before: bool | None) -> dict[str, Any]:
    check_ways(example.ways, ways)
    check_scored(example.scores is not None, scored_before)
    scores = {} if example.scores is None else {"scores": example.scores[:ways]}
    return {"query": example.query, **dict(zip(_names(ways), example.passages, strict=False)), **scores}


def _names(ways: int) -> list[str]:
    return ["document"] if ways == 1 else [f"document_{number}" for number in range(1, ways + 1)]


def _features(ways: int, scored: bool) -> Features:
    from datasets import Features, Sequence, Value

    columns: dict[str, Any] = {name: Value("string") for name in ("query", *_names(ways))}
    return Features({**columns, "scores": Sequence(Value("float64"))} if scored else columns)
