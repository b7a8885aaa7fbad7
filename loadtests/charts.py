"""Charts with axes as inline SVG, in the style of `modelway.evaluation.page`: light, dark, any width."""

import math
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from modelway.monitoring.charts import number

Line = Sequence[tuple[float, float | None]]
"""Points (x, y); a y of None leaves a gap."""

WIDTH, HEIGHT = 400, 176
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 10, 18, 24
_TICKS = 4


class Axis(NamedTuple):
    """Where values lie between two ends of a drawing."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The coordinate of a value, kept inside the drawing."""
        low, high, here = (self._scaled(v) for v in (self.low, self.high, value))
        share = (here - low) / (high - low) if high > low else 0.0
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def _scaled(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self.log else value


class Band(NamedTuple):
    """A stretch of the x axis with a name, e.g. a phase."""

    name: str
    start: float
    end: float


def time_chart(
    lines: Sequence[Line], *, end_s: float, limit: float | None = None, bands: Sequence[Band] = ()
) -> str:
    """Lines over seconds, from zero.

    Args:
        lines: One or two, in the order of the figure's key.
        end_s: Right end of the axis.
        limit: Drawn dashed.
        bands: Phases, parted by thin lines and named at the top.
    """
    x = Axis(0.0, end_s or 1.0, _LEFT, WIDTH - _RIGHT)
    ticks = [(end_s * k / _TICKS, f"{number(end_s * k / _TICKS)} s") for k in range(_TICKS + 1)]
    shown = [*_values(lines), *([] if limit is None else [limit])]
    if not shown:
        return '<p class="soft">Nothing to draw.</p>'
    y = Axis(0.0, _round_up(max(shown)), HEIGHT - _BOTTOM, _TOP)
    return _drawing(lines, x, y, limit=limit, x_ticks=ticks, under="".join(_bands(bands, x)))


def tail_chart(lines: Sequence[Line], *, limit: float | None = None) -> str:
    """Latency by percentile, the tail stretched: each step to the right is a tenth of the requests.

    Args:
        lines: Points (percent, milliseconds), percent below 100.
        limit: Drawn dashed.
    """
    shown = [value for value in _values(lines) if value > 0]
    if not shown:
        return '<p class="soft">Nothing to draw.</p>'
    stretched = [[(_nines(percent), y) for percent, y in line] for line in lines]
    x = Axis(_nines(50.0), 3.0, _LEFT, WIDTH - _RIGHT)
    ticks = [(_nines(p), f"p{p:g}") for p in (50.0, 90.0, 99.0, 99.9)]
    low, high = min(shown), max([*shown, limit or 0.0])
    y = Axis(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high) + 1e-9), 0, 0, log=True)
    y = y._replace(start=HEIGHT - _BOTTOM, end=_TOP)
    return _drawing(stretched, x, y, limit=limit, x_ticks=ticks)


def _nines(percent: float) -> float:
    """0 at p0, 1 at p90, 2 at p99."""
    return -math.log10(1.0 - percent / 100.0)


def _values(lines: Sequence[Line]) -> list[float]:
    return [y for line in lines for _, y in line if y is not None]


def _round_up(value: float) -> float:
    """The next of 1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8 times a power of ten: quarters of it are short."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10)
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))


def _y_ticks(y: Axis) -> list[float]:
    if not y.log:
        return [y.high * k / _TICKS for k in range(_TICKS + 1)]
    return [10.0**k for k in range(round(math.log10(y.low)), round(math.log10(y.high)) + 1)]


def _drawing(  # noqa: PLR0913 - what a drawing shows
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    limit: float | None,
    x_ticks: Sequence[tuple[float, str]],
    under: str = "",
) -> str:
    grid = "".join(_grid_line(y.at(value), number(value)) for value in _y_ticks(y))
    names = "".join(_x_name(x, value, name) for value, name in x_ticks)
    dashed = "" if limit is None else _rule(y.at(limit))
    drawn = "".join("".join(_stretches(line, x, y, f"l{k}")) for k, line in enumerate(lines, 1))
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
    return f"<svg {box}>{under}{grid}{names}{dashed}{drawn}</svg>"


def _grid_line(y: float, name: str) -> str:
    return (
        f'<line class="grid-line" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{name}</text>'
    )


def _rule(y: float) -> str:
    return f'<line class="ref" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _x_name(x: Axis, value: float, name: str) -> str:
    at = x.at(value)
    anchor = "start" if at <= x.start else "end" if at >= x.end - 1 else "middle"
    return f'<text x="{at:.1f}" y="{HEIGHT - 8}" text-anchor="{anchor}">{escape(name)}</text>'


def _bands(bands: Sequence[Band], x: Axis) -> Iterator[str]:
    if len(bands) < 2:  # noqa: PLR2004 - one phase needs no borders
        return
    for band in bands:
        left, right = x.at(band.start), x.at(band.end)
        yield f'<line class="grid-line" x1="{left:.1f}" x2="{left:.1f}" y1="4" y2="{HEIGHT - _BOTTOM}"/>'
        middle = (left + right) / 2
        yield f'<text x="{middle:.1f}" y="12" text-anchor="middle">{escape(band.name)}</text>'


def _stretches(line: Line, x: Axis, y: Axis, css: str) -> Iterator[str]:
    """One polyline per stretch without gaps; a lone point becomes a short dash."""
    points: list[tuple[float, float]] = []
    for at, value in [*line, (0.0, None)]:
        if value is not None:
            points.append((x.at(at), y.at(value)))
            continue
        if len(points) == 1:
            points = [(points[0][0] - 2, points[0][1]), (points[0][0] + 2, points[0][1])]
        if points:
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            yield f'<polyline class="{css}" points="{path}"/>'
        points = []
