"""Small figures as inline SVG. Colours come from the page's style, so they follow light and dark."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]
Whisker = tuple[float, float, float, float]
"""x, value, low, high."""

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 8, 40


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers inside [low, high], at most about `most` of them."""
    span = max(high - low, 1e-12)
    raw = span / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Axes:
    """A rectangle of data that is drawn into a rectangle of the figure."""

    x: Point
    y: Point
    x_label: str
    y_label: str
    percent_x: bool = False
    percent_y: bool = False

    def at(self, x: float, y: float) -> Point:
        """Where a point of the data lies in the figure."""
        return (
            _LEFT + (x - self.x[0]) / (self.x[1] - self.x[0]) * (_WIDTH - _LEFT - _RIGHT),
            _HEIGHT - _BOTTOM - (y - self.y[0]) / (self.y[1] - self.y[0]) * (_HEIGHT - _TOP - _BOTTOM),
        )

    def draw(self, *parts: str, description: str, x_names: Sequence[str] = ()) -> str:
        """The whole figure: grid and labels behind, `parts` in front.

        Args:
            parts: SVG fragments.
            description: For those who cannot see it.
            x_names: Names for x = 0, 1, 2 …, instead of numbers.
        """
        names = self._named_x(x_names) if x_names else "".join(self._x_tick(v) for v in ticks(*self.x))
        behind = names + "".join(self._y_tick(v) for v in ticks(*self.y, most=5))
        return _svg(_HEIGHT, behind + self._labels() + "".join(parts), description)

    def _labels(self) -> str:
        middle = (_HEIGHT - _BOTTOM) / 2
        return _text((_WIDTH + _LEFT) / 2, _HEIGHT - 4, self.x_label, "middle") + (
            f'<text x="11" y="{middle:.1f}" text-anchor="middle" transform="rotate(-90 11 {middle:.1f})">'
            f"{escape(self.y_label)}</text>"
        )

    def _x_tick(self, value: float) -> str:
        x, _ = self.at(value, self.y[0])
        return _grid(x, _TOP, x, _HEIGHT - _BOTTOM) + _text(
            x, _HEIGHT - _BOTTOM + 16, _number(value, self.percent_x), "middle"
        )

    def _y_tick(self, value: float) -> str:
        _, y = self.at(self.x[0], value)
        return _grid(_LEFT, y, _WIDTH - _RIGHT, y) + _text(
            _LEFT - 6, y + 4, _number(value, self.percent_y), "end"
        )

    def _named_x(self, names: Sequence[str]) -> str:
        every = math.ceil(len(names) / 5)  # five names of seven letters fit side by side
        return "".join(
            _text(self.at(i, self.y[0])[0], _HEIGHT - _BOTTOM + 16, names[i], "middle")
            for i in range(0, len(names), every)
        )

    def line(self, points: Iterable[Point], style: str) -> str:
        """A line through the points."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (self.at(*point) for point in points))
        return f'<polyline class="{style}" points="{path}"/>' if path else ""

    def band(self, entries: Iterable[tuple[float, float, float]]) -> str:
        """The area between two lines: x, low, high."""
        known = list(entries)
        edge = [self.at(x, high) for x, _, high in known] + [self.at(x, low) for x, low, _ in reversed(known)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in edge)
        return f'<polygon class="band" points="{path}"/>' if path else ""

    def whiskers(self, entries: Iterable[Whisker], colour: int) -> str:
        """Dots with their intervals."""
        return "".join(
            _line(*self.at(x, low), *self.at(x, high), f"w{colour}") + _dot(*self.at(x, value), f"d{colour}")
            for x, value, low, high in entries
        )

    def bars(self, edges: Sequence[float], heights: Sequence[float], colour: int) -> str:
        """A bar between each two edges."""
        parts = []
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            (x0, y0), (x1, y1) = self.at(left, height), self.at(right, 0)
            parts.append(
                f'<rect class="b{colour}" x="{x0:.1f}" y="{y0:.1f}" '
                f'width="{max(x1 - x0 - 0.5, 0.5):.1f}" height="{max(y1 - y0, 0):.1f}"/>'
            )
        return "".join(parts)

    def rule(self, x: float, name: str) -> str:
        """A dashed upright line with a name; the name stands on the side where there is room."""
        at = self.at(x, self.y[0])[0]
        right = at > _WIDTH * 0.6
        return _line(at, _TOP, at, _HEIGHT - _BOTTOM, "ref") + _text(
            at - 5 if right else at + 5, _TOP + 10, name, "end" if right else "start"
        )


def forest(
    entries: Sequence[tuple[str, float, float, float]],
    reference: float,
    description: str,
    *,
    left: int = 124,
    percent: bool = False,
) -> str:
    """Named intervals below each other, with a dashed line at `reference`.

    Args:
        entries: name, value, low, high.
        reference: Where the line stands.
        description: For those who cannot see it.
        left: Room for the names, of 360.
        percent: Whether the numbers are shares.
    """
    row, top, letters = 24, 8, left // 7
    low = min([entry[2] for entry in entries] + [reference])
    high = max([entry[3] for entry in entries] + [reference])
    pad = max((high - low) * 0.06, 1e-6)
    bottom = top + row * len(entries)

    def at(value: float) -> float:
        return left + (value - low + pad) / (high - low + 2 * pad) * (_WIDTH - left - _RIGHT)

    parts = [
        _grid(at(v), top, at(v), bottom) + _text(at(v), bottom + 14, _number(v, percent), "middle")
        for v in ticks(low - pad, high + pad, most=4 if left <= _WIDTH / 2 else 3)
    ]
    parts.append(_line(at(reference), top, at(reference), bottom, "ref"))
    for i, (name, value, lower, upper) in enumerate(entries):
        y = top + row * (i + 0.5)
        parts.append(_text(left - 8, y + 4, _short(name, letters), "end", style="name"))
        parts.append(_line(at(lower), y, at(upper), y, "w1") + _dot(at(value), y, "d1"))
    return _svg(bottom + 20, "".join(parts), description)


def _svg(height: float, inner: str, description: str) -> str:
    box = f'viewBox="0 0 {_WIDTH} {height:.0f}" role="img"'
    return f'<svg {box} aria-label="{escape(description)}">{inner}</svg>'


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _number(value: float, percent: bool) -> str:
    return f"{value * 100:.6g}%" if percent else f"{value:.6g}"


def _grid(x0: float, y0: float, x1: float, y1: float) -> str:
    return _line(x0, y0, x1, y1, "grid-line")


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<line class="{style}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def _dot(x: float, y: float, style: str) -> str:
    return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.4"/>'


def _text(x: float, y: float, text: str, anchor: str, *, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{style}">{escape(text)}</text>'
