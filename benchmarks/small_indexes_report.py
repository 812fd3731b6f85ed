"""What ``small_indexes.py`` measured, as a table with what follows from it, and as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from ranks import measured_ranks

GOALS = {4: 99.0, 8: 97.0}
"""The share of float32's nDCG@10, in percent, that an index of a fourth and of an eighth of the bytes shall keep."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An index, and how well and how fast it was searched.

    Attributes:
        name: What is kept, and how it was searched.
        kind: The series of the picture that it belongs to.
        vectors: Vectors a passage, on average.
        scanned: Bytes a passage of the vectors that a search goes through: the quantized copies, where there are.
        kept: Bytes a passage of all vectors: what is scanned, and what it is a copy of.
        segments: Bytes a passage that the segments take on the disk, ids included.
        encoded: Seconds it took to encode all passages.
        pooled: Seconds it took to pool them.
        written: Seconds it took to write, optimize and close the collection.
        query: Median seconds of a search.
        ranks: For each question the rank of the right passage, 0 where it is not among the first ten.
    """

    name: str
    kind: str
    vectors: float
    scanned: float
    kept: float
    segments: float
    encoded: float
    pooled: float
    written: float
    query: float = 0.0
    ranks: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Compared:
    """An index beside the first one.

    Attributes:
        row: The index.
        scanned: Its share of the bytes, of what a search goes through.
        kept: Its share of the bytes, of all that is on the disk.
        quality: Its nDCG@10 in percent of the first one's.
        error: The standard error of that, as the questions are a sample.
    """

    row: Measured
    scanned: float
    kept: float
    quality: float
    error: float


def compare(rows: Sequence[Measured]) -> list[Compared]:
    """Each index beside the first."""
    first = rows[0]
    gains = measured_ranks(first.ranks, ["nDCG@10"]).values["nDCG@10"]
    found = []
    for row in rows:
        own = measured_ranks(row.ranks, ["nDCG@10"]).values["nDCG@10"]
        ratio = own.mean() / gains.mean()
        error = (own - ratio * gains).std() / np.sqrt(len(own)) / gains.mean()  # the same questions: paired
        found.append(
            Compared(row, row.scanned / first.kept, row.kept / first.kept, float(100 * ratio), float(100 * error))
        )
    return found


def report(rows: Sequence[Measured], made_with: str, timed: int, drawn: str | None) -> str:
    """The Markdown file."""
    compared = compare(rows)
    sections = [
        "# How small an index can be",
        f"Made by `benchmarks/small_indexes.py`: {made_with}.",
        *([] if drawn is None else [f"![nDCG@10 against the bytes of a passage]({drawn})"]),
        "\n".join(choices(compared)),
        explanation(rows[0], timed),
        "\n".join(table(compared)),
    ]
    return "\n\n".join(sections) + "\n"


def explanation(first: Measured, timed: int) -> str:
    """What the columns say."""
    return f"""\
Every search is exact MaxSim of all that the index keeps, without a first stage. Bytes are of a passage, on average.
*Scanned* are the vectors that a search goes through; where that is a quantized copy, it is held in memory, and the
float16 vectors that it was made from stay on the disk: *kept* counts both. *Segments* is what all of the collection
takes on the disk, ids included, but its configuration and the write-ahead log; there are no texts in it. Percentages
are of the first row. No factor is exact: of n vectors, pooling keeps that of [CLS] and (n - 1) // factor others, unless
`protected-0` says that [CLS] is pooled too; and turbo16, turbo8 and turbo4 take 4 bytes a vector beside its numbers.
Another model may lose more or less: `--model` measures it.

Seconds are those of pooling, and of writing, optimizing and closing. Encoding took {first.encoded:.1f} s before that,
the same for all of one model. A query is the median of {timed}, each asked by itself, its encoding left out. The last
column has a standard error, of both rows' answers to the same questions."""


def table(compared: Sequence[Compared]) -> Iterator[str]:
    """A row an index."""
    yield "| index | vectors | scanned | kept | segments | pooling | writing | query | R@10 | nDCG@10 | of float32's |"
    yield "|---" + "|--:" * 10 + "|"
    for each in compared:
        row, measured = each.row, measured_ranks(each.row.ranks, ["R@10", "nDCG@10"])
        yield (
            f"| {row.name} | {row.vectors:.1f} | {row.scanned:,.0f} ({100 * each.scanned:.1f} %) "
            f"| {row.kept:,.0f} ({100 * each.kept:.1f} %) | {row.segments:,.0f} "
            f"| {row.pooled:.1f} s | {row.written:.1f} s | {1000 * row.query:.0f} ms "
            f"| {measured.mean('R@10'):.3f} | {measured.mean('nDCG@10'):.4f} "
            f"| {each.quality:.1f} ± {each.error:.1f} % |"
        )


def choices(compared: Sequence[Compared]) -> Iterator[str]:
    """Which goals are met, by which indexes, and what is the smallest of them."""
    for part, goal in GOALS.items():
        small = [each for each in compared if each.kept <= 1 / part]
        good = sorted((each for each in small if each.quality >= goal), key=lambda each: -each.quality)
        met = f"met by {len(good)} of the {len(small)} indexes of that size" if good else "not met"
        best = f"; best is **{good[0].row.name}**, {_figures(good[0])}" if good else ""
        yield f"- **At least {goal:g} % of float32's nDCG@10 in at most 1/{part} of its bytes**: {met}{best}."
    for goal in GOALS.values():
        good = [each for each in compared if each.quality >= goal]
        yield f"- Of those that keep {goal:g} %, the smallest is {_smallest(good)}"
    equal = [each for each in compared if each.quality + 2 * each.error >= 100]
    yield f"- Of those less than two standard errors below float32, the smallest is {_smallest(equal)}"


def _smallest(good: Sequence[Compared]) -> str:
    kept, scanned = min(good, key=lambda each: each.kept), min(good, key=lambda each: each.scanned)
    text = f"**{kept.row.name}**: {_figures(kept)}."
    if scanned.scanned >= kept.scanned:
        return text
    return (
        f"{text} A search goes through still less in {scanned.row.name}: {100 * scanned.scanned:.1f} % of the bytes, "
        f"of {100 * scanned.kept:.1f} % that are kept."
    )


def _figures(each: Compared) -> str:
    return f"{each.quality:.1f} ± {each.error:.1f} % in {100 * each.kept:.1f} % of the bytes"


@dataclass(frozen=True, slots=True)
class Series:
    """How indexes of a kind are drawn.

    Attributes:
        label: What the legend calls them.
        colour: Of marker and line.
        marker: As matplotlib names it.
        line: As matplotlib names it; none where the indexes are no sequence.
        filled: Whether what is scanned is all that is kept.
    """

    label: str
    colour: str
    marker: str
    line: str = "-"
    filled: bool = True


SERIES = {
    "data type": Series("data type alone", "#000000", "o"),
    "quantized, not rescored": Series(
        "scalar or TurboQuant copy in memory, float16 on the disk", "#777777", "D", "none", False
    ),
    "quantized, 4 x oversampling": Series("the same, with 4 x oversampling", "#777777", "o", "none", False),
    "sequential, float16": Series("sequential pooling by 2, 3, 4, float16", "#56B4E9", "v", ":"),
    "kmeans, float16": Series("k-means pooling by 2, 3, 4, float16", "#009E73", "^", "--"),
    "hierarchical, float16": Series("hierarchical pooling by 2, 3, 4, float16", "#0072B2", "s"),
    "[CLS] pooled too": Series("hierarchical pooling by 2, 4, [CLS] too, float16", "#0072B2", "x", "none"),
    "hierarchical, turbo8": Series("hierarchical pooling by 2, 3, 4, turbo8", "#D55E00", "s"),
    "hierarchical, turbo4": Series("hierarchical pooling by 2, 3, 4, turbo4", "#8B2500", "s"),
}
OTHERS = ("#CC79A7", "#E69F00", "#AA4499", "#999933")


def picture(rows: Sequence[Measured], file: Path) -> None:
    """Draws the share of nDCG@10 that is kept against the bytes that a search goes through, with the goals."""
    compared = compare(rows)
    figure = Figure(figsize=(9.5, 6), layout="constrained")
    axes = figure.subplots()
    others = iter(cycle(OTHERS))
    for kind in dict.fromkeys(row.kind for row in rows):
        series = SERIES[kind] if kind in SERIES else Series(kind, next(others), "P")
        _draw(axes, [each for each in compared if each.row.kind == kind], series)
    _draw_goals(axes, rows[0].kept)
    _draw_axes(axes, rows[0].kept, compared)
    axes.legend(loc="lower right", frameon=False, fontsize=8.5)
    with mpl.rc_context({"svg.hashsalt": "small indexes"}):  # the same file from the same rows
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=150)


def _draw(axes: Axes, found: Sequence[Compared], series: Series) -> None:
    axes.errorbar(
        [each.row.scanned for each in found],
        [each.quality for each in found],
        yerr=[each.error for each in found],
        label=series.label,
        color=series.colour,
        marker=series.marker,
        markersize=6,
        markerfacecolor=series.colour if series.filled else "white",
        linestyle=series.line,
        linewidth=1.2,
        elinewidth=0.5,
    )
    for each in found:
        below = each.row.name.startswith("turbo")  # float16 and turbo16 are of nearly one size
        axes.annotate(
            _short(each.row),
            (each.row.scanned, each.quality - each.error if below else each.quality + each.error),
            xytext=(4, -13) if below else (0, 5),
            textcoords="offset points",
            ha="left" if below else "center",
            color=series.colour,
            fontsize=8,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )


def _short(row: Measured) -> str:
    """What tells an index from the others of its series, where the legend does not say it."""
    if row.kind == "quantized, not rescored":
        return row.name.removeprefix("float16 + ").removesuffix(", not rescored").replace("TurboQuant ", "")
    return row.name if row.kind == "data type" else ""


def _draw_goals(axes: Axes, most: float) -> None:
    for part, goal in GOALS.items():
        axes.plot([most / part] * 2, [goal, 110], color="#999999", linewidth=0.8, zorder=0)
        axes.plot([1, most / part], [goal, goal], color="#999999", linewidth=0.8, zorder=0)
        axes.annotate(
            f"goal: {goal:g} % in 1/{part}",
            (most / part, goal),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            color="#777777",
            fontsize=8,
        )


def _draw_axes(axes: Axes, most: float, compared: Sequence[Compared]) -> None:
    axes.set_xscale("log")
    parts = [1, 2, 4, 8, 16, 32]
    axes.set_xticks(
        [most / part for part in parts],
        [f"{most / part / 1000:.3g}\n{f'1/{part}' if part > 1 else 1}" for part in parts],
    )
    axes.set_xticks([], minor=True)
    axes.set_xlim(most / 40, most * 1.3)
    axes.set_ylim(min(each.quality - each.error for each in compared) - 0.5, 100.8)
    axes.set_xlabel("thousand bytes a passage that a search goes through, and their share of float32's")
    axes.set_ylabel("nDCG@10 in percent of exact float32's, with its standard error")
    axes.spines[["top", "right"]].set_visible(False)
