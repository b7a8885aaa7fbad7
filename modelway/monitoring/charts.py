"""Lines over windows of time, as inline SVG in the style of `modelway.evaluation.page`."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from modelway.contract import Reason, Verdict
from modelway.evaluation.page import banner, mark, table

Values = Sequence[float | None]
"""One per step; None leaves a gap."""

_WIDTH, _HEIGHT = 440, 170


def number(value: float | None) -> str:
    """Four significant digits, thousands grouped; a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - a matter of reading


def verdict_block(verdict: Verdict) -> str:
    """The outcome, then each reason on its line."""
    failed = [r for r in verdict.reasons if r.outcome is verdict.outcome]
    said = "; ".join(f"{r.metric}: {r.message}" for r in failed[:2])
    head = ("", "metric", "what was seen", "found", "limit", "", "samples")
    rows = [_reason_row(reason) for reason in verdict.reasons]
    return banner(verdict.outcome, said) + table(head, rows, numbers=frozenset({3, 4, 6}))


def _reason_row(reason: Reason) -> tuple[str, ...]:
    return (
        mark(reason.outcome),
        escape(reason.metric),
        escape(reason.message),
        number(reason.found),
        number(reason.limit),
        escape(reason.unit),
        "" if reason.samples is None else f"{reason.samples:,}",
    )


def sparkline(values: Values, *, limit: float) -> str:
    """A word-sized line with its alarm limit dashed."""
    plot = _Plot(120, 26, top=max([limit * 1.2, *_present(values)]), steps=len(values))
    return (
        '<svg style="width:120px" viewBox="0 0 120 26" role="img" aria-label="effect, window by window">'
        f"{plot.level(limit)}{plot.line(values, 'l1')}</svg>"
    )


def line_chart(lines: Sequence[Values], *, ends: tuple[str, str], limit: float | None = None) -> str:
    """One or two lines over the same steps, from zero.

    Args:
        lines: In the order of the figure's key.
        ends: Names of the first and the last step.
        limit: Drawn dashed.
    """
    shown = [v for line in lines for v in _present(line)] + ([] if limit is None else [limit])
    if not shown:
        return '<p class="soft">Nothing to draw yet.</p>'
    plot = _Plot(_WIDTH, _HEIGHT, top=max(shown) * 1.05 or 1.0, steps=max(len(line) for line in lines))
    drawn = "".join(plot.line(line, f"l{i}") for i, line in enumerate(lines, 1))
    return (
        f'<svg viewBox="0 -6 {_WIDTH} {_HEIGHT + 24}" role="img">'
        f'<line class="grid-line" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>'
        f"{'' if limit is None else plot.level(limit)}{drawn}"
        f'<text x="0" y="6">{number(plot.top)}</text><text x="0" y="{_HEIGHT + 15}">{escape(ends[0])}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 15}" text-anchor="end">{escape(ends[1])}</text></svg>'
    )


def _present(values: Values) -> list[float]:
    return [value for value in values if value is not None]


class _Plot(NamedTuple):
    width: int
    height: int
    top: float
    steps: int

    def _y(self, value: float) -> float:
        return self.height - 1 - (self.height - 3) * value / self.top

    def level(self, value: float) -> str:
        """A dashed line at that value."""
        y = self._y(value)
        return f'<line class="ref" x1="0" x2="{self.width}" y1="{y:.1f}" y2="{y:.1f}"/>'

    def line(self, values: Values, css: str) -> str:
        """One polyline per stretch without gaps; a lone point becomes a short dash."""
        step = self.width / max(self.steps, 1)
        drawn: list[str] = []
        stretch: list[tuple[float, float]] = []
        for k, value in enumerate([*values, None]):
            if value is not None:
                stretch.append((step * (k + 0.5), self._y(value)))
            elif stretch:
                drawn.append(_polyline(stretch, css))
                stretch = []
        return "".join(drawn)


def _polyline(points: list[tuple[float, float]], css: str) -> str:
    if len(points) == 1:
        (x, y), half = points[0], 3.0
        points = [(x - half, y), (x + half, y)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{css}" points="{path}"/>'
