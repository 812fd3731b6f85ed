"""Hard negatives: passages that a ranker takes for answers and that, as far as can be told, are none.

sentence-transformers has ``util.mine_hard_negatives``. It encodes with one ``SentenceTransformer``, so it
takes neither BM25 nor a late-interaction model, knows nothing of documents, samples from the process's
own random state, and starts from the beginning after a kill. Its margins mean the same as ours.
"""

from __future__ import annotations

import math
import random
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
from tqdm import tqdm

from ..errors import InputError
from ..text.squad import Passage
from .journal import Journal, key_of
from .rankers import Ranker, Ranking, digest
from .records import Example

MODEL_COUNT = 25
"""Negatives a query from a dense or late-interaction model: JaColBERT v1's (arXiv 2312.16144)."""

BM25_COUNT = 10
"""Negatives a query from BM25, at most: JaColBERT v1's."""


GUARDS = ("same_text", "same_document", "margin")
"""What keeps a passage of a window from becoming a negative, in the order in which it is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A ranker, and which of the passages that it ranks become negatives.

    Attributes:
        ranker: The ranker.
        count: Negatives a query, at most.
        window: First and last rank to take from, counted from 1, both included. A rank is that in the
            ranker's own list of the whole corpus: the positive and what a guard removes have theirs too.
            The first ranks are left out because unlabelled answers are there.
        absolute_margin: A negative must score at least this much below the positive.
        relative_margin: A negative must score at least this share of the positive's score (of its
            magnitude) below it; 0.05 is NV-Retriever's choice (arXiv 2407.15831).
        sampling: ``"random"`` of the window, in random order if there are more than ``count``, or the
            ``"top"`` of it.

    Raises:
        InputError: If a value cannot be.
    """

    ranker: Ranker
    count: int = MODEL_COUNT
    window: tuple[int, int] = (10, 100)
    absolute_margin: float | None = None
    relative_margin: float | None = None
    sampling: Literal["random", "top"] = "random"

    def __post_init__(self) -> None:
        first, last = self.window
        if not 1 <= first <= last:
            raise InputError(f"the window {self.window} is none: ranks count from 1, and the first is not the larger.")
        if self.count < 1:
            raise InputError(f"the count of negatives is {self.count}, but it must be at least 1.")
        for name in ("absolute_margin", "relative_margin"):
            margin = getattr(self, name)
            if margin is not None and not (math.isfinite(margin) and margin >= 0):
                raise InputError(f"{name} is {margin}, but it must be a finite number of at least 0, or None.")
        if self.sampling not in ("random", "top"):
            raise InputError(f"sampling is {self.sampling!r}, but it must be 'random' or 'top'.")

    def highest(self, own: float | None) -> float:
        """Returns the highest score of a negative for a positive that scores ``own``."""
        if own is None:
            return math.inf
        bounds = [math.inf]
        if self.absolute_margin is not None:
            bounds.append(own - self.absolute_margin)
        if self.relative_margin is not None:
            bounds.append(own - abs(own) * self.relative_margin)
        return min(bounds)

    @property
    def has_margin(self) -> bool:
        """Whether the positive's score matters."""
        return self.absolute_margin is not None or self.relative_margin is not None


def v1_sources(model: Ranker, bm25: Ranker) -> tuple[Source, Source]:
    """Returns JaColBERT v1's sources: 25 negatives from a model, and up to 10 from BM25."""
    return Source(ranker=model, count=MODEL_COUNT), Source(ranker=bm25, count=BM25_COUNT)


@dataclass(frozen=True, slots=True)
class MinedNegatives:
    """The examples with their negatives, and how the mining went.

    Attributes:
        examples: In the order of the input.
        wanted: Negatives that a full example has.
        found: How many negatives there are in all.
        short: Examples with fewer than were wanted.
        empty: Examples with none.
        removed: Each of :data:`GUARDS` to how many passages of windows it removed.
    """

    examples: list[Example] = field(repr=False)
    wanted: int
    found: int
    short: int
    empty: int
    removed: dict[str, int]


class _Mined(TypedDict):
    """What the journal keeps of a query: corpus positions a source, and how many each guard removed."""

    negatives: list[list[int]]
    removed: dict[str, int]


def mine_negatives(
    examples: Sequence[Example],
    corpus: Sequence[Passage],
    sources: Sequence[Source],
    *,
    file: str | Path,
    same_document: bool = False,
    seed: int = 42,
    batch_size: int = 64,
    show_progress_bar: bool | None = None,
) -> MinedNegatives:
    """Gives each query hard negatives: its positive stays first, the sources' negatives follow in their order.

    Never a negative, whatever its rank: a passage with the text (after NFKC, white space aside) or the id
    of any positive of the same query, wherever in ``examples`` that is; a passage of a document of theirs
    (an example's group, or the articles that have the positive's text), unless ``same_document``; a passage
    within the margin; a text that the query has as a negative already. A query for which a window holds too
    few others keeps those it has. Nothing is filled up.

    The same arguments give the same examples and the same bytes in ``file``, in one run or many.

    Args:
        examples: Their first passages are the positives; other passages and scores are left behind.
        corpus: What negatives are taken from, with unique ids.
        sources: Their rankers must rank the corpus's texts.
        file: Keeps what has been mined, so that a run that was stopped goes on from there.
        same_document: Let passages of the positive's own document be negatives. They are the hardest,
            and some of them will be answers.
        seed: Decides random sampling, for each query by itself.
        batch_size: Queries ranked, and written down, at once.
        show_progress_bar: None shows one after a second, on a terminal.

    Raises:
        InputError: If the arguments do not fit each other, if ``file`` is of other work, or if no query
            got a negative.
    """
    if not examples:
        raise InputError("there are no examples to mine negatives for.")
    _check(corpus, sources, batch_size)
    queries = _Queries(examples, corpus)
    if any(source.has_margin for source in sources):
        queries.check_positives()
    work = {
        "task": "negatives",
        "corpus": digest((passage.id, passage.article, passage.text) for passage in corpus),
        "sources": [_described(source) for source in sources],
        "same_document": same_document,
        "seed": seed,
    }
    rows: dict[str, int] = {}
    for row, key in enumerate(queries.keys):
        rows.setdefault(key, row)
    with (
        Journal[_Mined](file, work) as journal,
        tqdm(
            total=len(rows),
            initial=sum(key in journal.done for key in rows),
            desc="Mining negatives",
            disable=None if show_progress_bar is None else not show_progress_bar,
            delay=1.0 if show_progress_bar is None else 0.0,
        ) as bar,
    ):
        fresh = [key for key in rows if key not in journal.done]
        for start in range(0, len(fresh), batch_size):
            batch = fresh[start : start + batch_size]
            mined = _mine(queries, [rows[key] for key in batch], sources, same_document, seed)
            journal.add(zip(batch, mined, strict=True))
            bar.update(len(batch))
        return _summary(queries, corpus, [journal.done[key] for key in queries.keys], sources)


def _mine(
    queries: _Queries, rows: list[int], sources: Sequence[Source], same_document: bool, seed: int
) -> Iterator[_Mined]:
    texts = [queries.examples[row].query for row in rows]
    own = [queries.own[row] for row in rows]
    ranked = [source.ranker.rank(texts, source.window[1], own) for source in sources]
    for row, rankings in zip(rows, zip(*ranked, strict=True), strict=True):
        taken: set[int] = set()
        removed = dict.fromkeys(GUARDS, 0)
        negatives: list[list[int]] = []
        for source, ranking in zip(sources, rankings, strict=True):
            allowed: dict[int, int] = {}  # text to the best passage with it
            for column, score in _window(ranking, source.window):
                guard = queries.guard(row, column, same_document)
                if guard is None and score > source.highest(ranking.own):
                    guard = "margin"
                if guard is not None:
                    removed[guard] += 1
                elif queries.text_of[column] not in taken:
                    allowed.setdefault(queries.text_of[column], column)
            chosen = list(allowed.values())
            if source.sampling == "random" and len(chosen) > source.count:
                rng = random.Random(f"{seed} {len(negatives)} {queries.keys[row]}")
                # Sorted, so that passages whose scores differ in the last digit only cannot change the sample.
                chosen = rng.sample(sorted(chosen), source.count)
            negatives.append(chosen[: source.count])
            taken.update(queries.text_of[column] for column in negatives[-1])
        yield {"negatives": negatives, "removed": removed}


def _window(ranking: Ranking, window: tuple[int, int]) -> Iterator[tuple[int, float]]:
    """Returns position and score of the passages at the ranks of the window."""
    first, last = window
    return zip(ranking.columns[first - 1 : last].tolist(), ranking.scores[first - 1 : last].tolist(), strict=True)


class _Queries:
    """What must not be a negative of which query."""

    def __init__(self, examples: Sequence[Example], corpus: Sequence[Passage]) -> None:
        self.examples = examples
        self._corpus = corpus
        known: dict[str, int] = {}
        self.text_of = [known.setdefault(_same(passage.text), index) for index, passage in enumerate(corpus)]
        column_of = {passage.id: index for index, passage in enumerate(corpus)}
        articles: dict[int, set[str]] = defaultdict(set)  # of all passages with a text
        for passage, text in zip(corpus, self.text_of, strict=True):
            articles[text].add(passage.article)
        self.own: list[int | None] = []
        positives: dict[str, set[int]] = defaultdict(set)
        documents: dict[str, set[str]] = defaultdict(set)
        for example in examples:
            by_text = known.get(_same(example.passages[0]))
            by_id = None if example.passage_ids is None else column_of.get(example.passage_ids[0])
            own = by_text if by_text is not None else by_id
            self.own.append(own)
            query = _same(example.query)
            positives[query] |= {self.text_of[column] for column in (by_text, by_id) if column is not None}
            if example.group is not None:
                documents[query].add(example.group)
            elif own is not None:
                documents[query] |= articles[self.text_of[own]]
        self._positives = [positives[_same(example.query)] for example in examples]
        self._documents = [documents[_same(example.query)] - {""} for example in examples]
        self.keys = [
            key_of(example.query, own, sorted(texts), sorted(articles))
            for example, own, texts, articles in zip(examples, self.own, self._positives, self._documents, strict=True)
        ]

    def check_positives(self) -> None:
        """Refuses positives that no ranker has a score of."""
        missing = [row for row, column in enumerate(self.own) if column is None]
        if missing:
            raise InputError(
                f"a margin needs the positive's score, but {len(missing)} positives are not in the corpus, first "
                f"that of {self.examples[missing[0]].query!r:.60}. Add them to the corpus, or give no margin."
            )

    def guard(self, row: int, column: int, same_document: bool) -> str | None:
        """Returns the guard that forbids a passage to a query; None if it may be a negative."""
        if self.text_of[column] in self._positives[row]:
            return "same_text"
        if not same_document and self._corpus[column].article in self._documents[row]:
            return "same_document"
        return None


def _summary(
    queries: _Queries, corpus: Sequence[Passage], mined: list[_Mined], sources: Sequence[Source]
) -> MinedNegatives:
    wanted = sum(source.count for source in sources)
    examples = []
    for example, own, value in zip(queries.examples, queries.own, mined, strict=True):
        negatives = [corpus[column] for columns in value["negatives"] for column in columns]
        texts = (example.passages[0], *(negative.text for negative in negatives))
        positive = None if own is None else corpus[own].id
        if example.passage_ids is not None:
            positive = example.passage_ids[0]
        ids = None if positive is None else (positive, *(negative.id for negative in negatives))
        examples.append(replace(example, passages=texts, scores=None, passage_ids=ids))
    counts = np.array([example.ways - 1 for example in examples])
    removed = {guard: sum(value["removed"][guard] for value in mined) for guard in GUARDS}
    if not counts.any():
        raise InputError(
            f"none of the {len(examples)} queries got a negative: guards removed {removed} from the windows "
            f"{[source.window for source in sources]} over {len(corpus)} passages. Widen the windows or the margins."
        )
    return MinedNegatives(
        examples, wanted, int(counts.sum()), int((counts < wanted).sum()), int((counts == 0).sum()), removed
    )


def _check(corpus: Sequence[Passage], sources: Sequence[Source], batch_size: int) -> None:
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, but it must be at least 1.")
    if not sources:
        raise InputError("there are no sources of negatives. Give at least one Source.")
    texts = [passage.text for passage in corpus]
    if len({passage.id for passage in corpus}) < len(corpus):
        raise InputError("passages of the corpus share an id. Give each its own.")
    for passage in corpus:
        if not passage.text.strip():
            raise InputError(f"passage {passage.id!r} of the corpus is empty. Give it a text, or leave it out.")
    for source in sources:
        if list(source.ranker.passages) != texts:
            raise InputError(
                f"{source.ranker.name} ranks {len(source.ranker.passages)} passages that are not the corpus's "
                f"{len(texts)}. Make the ranker from [passage.text for passage in corpus]."
            )
        if source.window[0] > len(corpus):
            raise InputError(
                f"the window begins at rank {source.window[0]}, but the corpus has {len(corpus)} passages. "
                "Give a window within it."
            )


def _described(source: Source) -> list[object]:
    margins = [source.absolute_margin, source.relative_margin]
    return [source.ranker.fingerprint, source.count, list(source.window), margins, source.sampling]


def _same(text: str) -> str:
    """Normalises a text for comparison: NFKC, without white space."""
    return "".join(unicodedata.normalize("NFKC", text).split())
