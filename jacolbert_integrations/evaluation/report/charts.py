"""Pictures as SVG whose colours are the page's, so that they are for light screens and for dark ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from .axes import Scale, frame, number, picture, x_scale, y_scale

COLOURS = 6
"""How many there are in the page's style; the next series begin again with the first."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A point of a scatter plot.

    Attributes:
        x: Above 0.
        y: Its height.
        label: A few characters beside it.
        title: What a pointer that rests on it shows.
        series: Which colour it has.
    """

    x: float
    y: float
    label: str
    title: str
    series: str


def scatter(name: str, dots: Sequence[Dot], *, x_name: str, y_name: str, title: str) -> str:
    """Draws points over a horizontal axis of equal ratios, with a legend of their series."""
    x, y = x_scale([dot.x for dot in dots], log=True), y_scale([dot.y for dot in dots])
    series = list(dict.fromkeys(dot.series for dot in dots))

    def marks() -> Iterator[str]:
        for dot in dots:
            place = f"{x(dot.x):.1f}", f"{y(dot.y):.1f}"
            colour = series.index(dot.series) % COLOURS
            yield (
                f'<g class="dot c{colour}"><circle cx="{place[0]}" cy="{place[1]}" r="5"/>'
                f"<title>{escape(dot.title)}</title></g>"
            )
        for label, left, top in _labels([(dot.label, x(dot.x), y(dot.y)) for dot in dots]):
            side = (left + 8, "start") if left < x.end - 90 else (left - 8, "end")
            spot = f'x="{side[0]:.1f}" y="{top + 4:.1f}" text-anchor="{side[1]}"'
            yield f'<text class="label" {spot}>{escape(label)}</text>'

    drawn = picture(name, [*frame(x, y, x_name, y_name), *marks()], title)
    return f"{drawn}{_legend(series)}"


def curves(
    name: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_name: str,
    y_name: str,
    title: str,
) -> str:
    """Draws lines over a horizontal axis of equal ratios, with a legend."""
    points = [point for line in series.values() for point in line]
    x, y = x_scale([each for each, _ in points], log=True), y_scale([each for _, each in points], top=1.0)

    def marks() -> Iterator[str]:
        for place, (called, line) in enumerate(series.items()):
            path = " ".join(f"{x(left):.1f},{y(top):.1f}" for left, top in line)
            colour = place % COLOURS
            yield f'<polyline class="line c{colour}" points="{path}"><title>{escape(called)}</title></polyline>'
            for left, top in line:
                shown = f"{called}: {top:.3f} at {number(left)}"
                yield (
                    f'<g class="dot c{colour}"><circle cx="{x(left):.1f}" cy="{y(top):.1f}" r="3"/>'
                    f"<title>{escape(shown)}</title></g>"
                )

    return f"{picture(name, [*frame(x, y, x_name, y_name), *marks()], title)}{_legend(list(series))}"


def histogram(
    name: str,
    values: Sequence[int],
    *,
    marked: Mapping[str, int],
    x_name: str,
    y_name: str,
    title: str,
) -> str:
    """Draws how often each number comes, and upright lines at some numbers.

    Args:
        name: What tests and links call it.
        values: The numbers.
        marked: Names of the lines, and where they are.
        x_name: Of the axis.
        y_name: Of the axis.
        title: What it shows.
    """
    counts = Counter(values)
    x = x_scale([min(counts), max(max(counts), *marked.values()) if marked else max(counts)])
    whole = y_scale([0, max(counts.values())])
    y = Scale(0, whole.high, whole.begin, whole.end)
    width = max((x(1) - x(0)) * 0.85, 1.0)

    def marks() -> Iterator[str]:
        for value, count in sorted(counts.items()):
            yield (
                f'<g class="bar c0"><rect x="{x(value) - width / 2:.1f}" y="{y(count):.1f}" width="{width:.1f}" '
                f'height="{y(0) - y(count):.1f}"/><title>{count:,} of {value}</title></g>'
            )
        for place, (called, value) in enumerate(marked.items()):
            left, top = f"{x(value):.1f}", y.end + 14 + 16 * place
            yield f'<line class="mark c1" x1="{left}" x2="{left}" y1="{y.end:.1f}" y2="{y.begin:.1f}"/>'
            yield f'<text x="{x(value) - 6:.1f}" y="{top:.1f}" text-anchor="end">{escape(called)}</text>'

    return picture(name, [*frame(x, y, x_name, y_name), *marks()], title)


def differences(name: str, values: Sequence[float], *, x_name: str, y_name: str, title: str) -> str:
    """Draws differences in falling order: what is above 0, and what is below."""
    falling = sorted(values, reverse=True)
    x, y = x_scale([0, len(falling)]), y_scale([min(*falling, 0.0), max(*falling, 0.0)])

    def marks() -> Iterator[str]:
        for sign, colour in ((1, 0), (-1, 1)):
            steps = [(place, value) for place, value in enumerate(falling) if value * sign > 0]
            if steps:
                path = "".join(
                    f"L{x(place):.1f},{y(value):.1f}L{x(place + 1):.1f},{y(value):.1f}" for place, value in steps
                )
                begin, end = x(steps[0][0]), x(steps[-1][0] + 1)
                yield f'<path class="area c{colour}" d="M{begin:.1f},{y(0):.1f}{path}L{end:.1f},{y(0):.1f}Z"/>'
        yield f'<line class="axis" x1="{x.begin:.1f}" x2="{x.end:.1f}" y1="{y(0):.1f}" y2="{y(0):.1f}"/>'

    return picture(name, [*frame(x, y, x_name, y_name), *marks()], title)


def _labels(
    places: Sequence[tuple[str, float, float]], near: tuple[float, float] = (24.0, 12.0)
) -> list[tuple[str, float, float]]:
    """Joins the labels of points that lie beside each other: labels, and where each begins."""
    groups: list[list[tuple[str, float, float]]] = []
    for label, left, top in places:
        for group in groups:
            if abs(group[0][1] - left) < near[0] and abs(group[0][2] - top) < near[1]:
                group.append((label, left, top))
                break
        else:
            groups.append([(label, left, top)])
    return [
        (", ".join(label for label, _, _ in group), max(left for _, left, _ in group), group[0][2]) for group in groups
    ]


def _legend(series: Sequence[str]) -> str:
    if len(series) < 2:
        return ""
    items = "".join(
        f'<li><span class="swatch c{place % COLOURS}"></span>{escape(called)}</li>'
        for place, called in enumerate(series)
    )
    return f'<ul class="legend">{items}</ul>'
