"""Training examples in files: pairs, triplets and n-way tuples with their texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ...errors import InputError, TrainingDataError
from ...text.squad import read_squad
from ..records import Example
from .layouts import parse_examples, parse_fields
from .rows import BadRows, parse_rows, read_rows, row_format, write_json_rows

ExampleFormat = Literal["jsonl", "tsv", "parquet", "squad"]

Rows = Callable[[BadRows], Iterator[tuple[int, Any]]]
Parse = Callable[[Any], list[Example]]


class Examples(Iterable[Example]):
    """Examples that are read anew at each pass, so that memory stays flat; all were checked once beforehand.

    Args:
        source: What to call the source in messages.
        rows: Opens the source: each row with its line.
        parse: The examples of a row.
        skipped: Takes the account of bad rows, and allows them; None stops at them.
        checked: How many examples there are, if they have been checked already.

    Raises:
        TrainingDataError: If there are bad rows and ``skipped`` is None, or there is no good one.
    """

    def __init__(
        self, source: str, rows: Rows, parse: Parse, skipped: BadRows | None = None, *, checked: int | None = None
    ) -> None:
        self.source = source
        self._rows = rows
        self._parse = parse
        self._strict = skipped is None
        self._length = self._check(skipped) if checked is None else checked

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Example]:
        bad = BadRows()
        yield from self._pass(bad)
        if self._strict:  # good when it was checked: the source has changed since
            bad.settle(self.source, None)

    def _check(self, skipped: BadRows | None) -> int:
        bad = BadRows()
        length = sum(1 for _ in self._pass(bad))
        bad.settle(self.source, skipped)
        return length

    def _pass(self, bad: BadRows) -> Iterator[Example]:
        for _, examples in parse_rows(Path(self.source).name, self._rows(bad), self._parse, bad):
            yield from examples


def read_examples(
    file: str | Path,
    *,
    format: ExampleFormat | None = None,
    skipped: BadRows | None = None,
    show_progress_bar: bool | None = None,
) -> Examples:
    """Reads pairs, triplets and n-way tuples from one file.

    The suffix decides how it is read, a ``.gz`` behind it left aside; nothing else is guessed.

    - ``.jsonl`` and ``.parquet``: an object a row. This package's own keys are ``query``, ``passages`` (a list, the
      positive first) and perhaps ``scores``, ``query_id``, ``passage_ids`` and ``group``. Those of
      sentence-transformers and FlagEmbedding are read too: ``query`` or ``anchor``, with ``positive``, ``positives``
      or ``pos`` (a string, or a list that makes one example of each) and perhaps ``negative``, ``negatives`` or
      ``neg`` (a string or a list) or ``negative_1``, ``negative_2``, …; or with ``document``, or ``document_1``,
      ``document_2``, …. Scores may also be ``score``, ``labels`` or ``label``, one for each passage, or FlagEmbedding's
      ``pos_scores`` and ``neg_scores``.
    - ``.tsv``: query, positive and perhaps negative, as in MS MARCO's triples.train.small.tsv.
    - ``.json``: SQuAD's layout; each question with its passage. Its "lines" are questions.

    Files of ids are read by :func:`~jacolbert_integrations.training.data.nway.nway_dataset`.

    Args:
        file: The file.
        format: What it is, whatever its suffix; ``"squad"`` is SQuAD's layout.
        skipped: Takes the account of bad rows, and allows them; None stops at them, once all have been counted.
        show_progress_bar: None shows one after a second, on a terminal.

    Returns:
        The examples, read from disk at each pass.

    Raises:
        TrainingDataError: If rows cannot be used and ``skipped`` is None, or no row can, or the file not be read.
        InputError: If the suffix names no format.
        MissingExtraError: If ``file`` is Parquet and the training extra is not installed.
    """
    rows, parse = example_rows(file, format=format, show_progress_bar=show_progress_bar)
    return Examples(str(file), rows, parse, skipped)


def example_rows(
    file: str | Path, *, format: ExampleFormat | None, show_progress_bar: bool | None
) -> tuple[Rows, Parse]:
    """Returns a function that opens a file of examples, and one that makes examples of its rows.

    Raises:
        InputError: If the suffix names no format.
    """
    path = Path(file)
    if format == "squad" or (format is None and path.name.removesuffix(".gz").endswith(".json")):
        return partial(_squad_rows, path), lambda row: [Example(**row)]
    known = row_format(path) if format is None else format
    rows = partial(read_rows, path, format=known, show_progress_bar=show_progress_bar)
    return rows, parse_fields if known == "tsv" else parse_examples


def write_examples(file: str | Path, examples: Iterable[Example]) -> None:
    """Writes examples as JSON lines with this package's keys, whole or not at all.

    Args:
        file: A name that ends with ``.jsonl``; ``.gz`` behind it packs it.
        examples: The examples. What an example does not have gets no key.

    Raises:
        InputError: If the file's suffix is another, or a text cannot be written as UTF-8.
    """
    path = Path(file)
    if not path.name.removesuffix(".gz").endswith(".jsonl"):
        raise InputError(f"cannot write {path}: give a name that ends with .jsonl or .jsonl.gz.")
    write_json_rows(path, map(_row, examples))


def _row(example: Example) -> dict[str, Any]:
    values = {name: getattr(example, name) for name in Example.__slots__}
    return {name: value for name, value in values.items() if value is not None}


def _squad_rows(file: Path, bad: BadRows) -> Iterator[tuple[int, Any]]:
    try:
        questions = read_squad([file])
    except InputError as error:
        raise TrainingDataError(str(error)) from None
    passages = {passage.id: passage for passage in questions.passages}
    for number, question in enumerate(questions.questions, 1):
        bad.rows += 1
        passage = passages[question.passage_id]
        yield (
            number,
            {
                "query": question.text,
                "passages": (passage.text,),
                "query_id": question.id,
                "passage_ids": (passage.id,),
                "group": passage.article,
            },
        )
