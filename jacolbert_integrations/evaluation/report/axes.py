"""The frame of a picture: where values lie, and the marks and names beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 16, 16, 52
_TICKS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """Where the values of one axis lie.

    Attributes:
        low: The least value.
        high: The greatest, more than ``low``.
        begin: Where ``low`` is, in the picture's units.
        end: Where ``high`` is.
        log: Whether equal distances are equal ratios; then ``low`` is above 0.
    """

    low: float
    high: float
    begin: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Returns where a value lies."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return self.begin + (self._scaled(value) - low) / (high - low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Returns round values from ``low`` to ``high``."""
        if self.log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            found = [digit * 10.0**power for power in range(first, last + 1) for digit in (1, 2, 5)]
        else:
            step = _round_step((self.high - self.low) / _TICKS)
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            found = [place * step for place in range(first, last + 1)]
        inside = [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]
        return inside if len(inside) <= 2 * _TICKS else inside[:: math.ceil(len(inside) / (2 * _TICKS))]

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def x_scale(values: Sequence[float], *, log: bool = False) -> Scale:
    """Builds the horizontal scale that values fit on."""
    low, high = _range(values, log)
    return Scale(low, high, _LEFT, WIDTH - _RIGHT, log)


def y_scale(values: Sequence[float], *, top: float | None = None) -> Scale:
    """Builds the vertical scale that values fit on.

    Args:
        values: What it shows.
        top: The greatest value that there can be; no room is left above it.
    """
    low, high = _range(values, False)
    return Scale(low, high if top is None else min(high, top), HEIGHT - _BOTTOM, _TOP)


def frame(x: Scale, y: Scale, x_name: str, y_name: str) -> Iterator[str]:
    """Draws both axes with their ticks and names."""
    for value in y.ticks():
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>'
        yield _text(_LEFT - 8, y(value) + 4, number(value), "end")
    for value in x.ticks():
        yield f'<line class="grid" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
        yield _text(x(value), HEIGHT - _BOTTOM + 18, number(value), "middle")
    yield _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, x_name, "middle")
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    turned = f'transform="rotate(-90 14 {middle:.1f})"'
    yield f'<text x="14" y="{middle:.1f}" text-anchor="middle" {turned}>{escape(y_name)}</text>'


def picture(name: str, elements: Iterable[str], title: str) -> str:
    """Makes a picture of elements.

    Args:
        name: What tests and links call it.
        elements: SVG.
        title: What it shows, for those who cannot see it.
    """
    return (
        f'<svg id="{name}" role="img" aria-label="{escape(title)}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f"{''.join(elements)}</svg>"
    )


def number(value: float) -> str:
    """Formats a value in few characters: 0.95, 12, 1.5k, 56k, 2M."""
    if value == 0:
        return "0"
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _range(values: Sequence[float], log: bool) -> tuple[float, float]:
    low, high = min(values), max(values)
    if log:
        room = (high / low) ** 0.06 if high > low else 1.5
        return low / room, high * room
    room = (high - low) * 0.06 or abs(high) * 0.06 or 1.0
    return low - room, high + room


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step * (1 - 1e-9))
