"""Small self-contained pages: a shell, tables and inline SVG lines. No script, nothing fetched."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from modelway.contract import Outcome, Verdict

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6675;--line:#d8dee6;--back:#fff;--pass:#1a7f4b;
--fail:#c0352b;--inconclusive:#9a6a00;--a:#2461c4;--b:#c2620d}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf2;--soft:#9aa6b5;--line:#333d4a;--back:#12161c;
--pass:#4cc38a;--fail:#ff7b6e;--inconclusive:#e5b454;--a:#7aa8ff;--b:#f5a35c}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);max-width:68rem;
margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .5rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid var(--line);vertical-align:middle}
th{color:var(--soft);font-weight:600}.n{text-align:right}.soft{color:var(--soft)}
.pass{color:var(--pass)}.fail{color:var(--fail)}.inconclusive{color:var(--inconclusive)}
.verdict{font-weight:700;text-transform:uppercase;letter-spacing:.04em}
svg{display:block}svg.wide{width:100%;height:auto}svg text{fill:var(--soft);font-size:11px}
.a{stroke:var(--a)}.b{stroke:var(--b)}.limit{stroke:var(--fail);stroke-dasharray:4 3}
polyline,line{fill:none;stroke-width:1.6}.axis{stroke:var(--line);stroke-width:1}
"""


class Markup(str):
    """HTML that is already safe: not escaped again."""

    __slots__ = ()


def page(title: str, body: str) -> str:
    """A whole document around `body`, which is HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{body}</body></html>"
    )


def outcome_tag(outcome: Outcome) -> Markup:
    """The outcome in its colour and in words."""
    return Markup(f'<span class="verdict {outcome.value}">{outcome.value}</span>')


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; numbers to the right, None as a dash, `Markup` as it is."""
    cells = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{names}</tr></thead><tbody>{cells}</tbody></table></div>'


def _cell(value: object) -> str:
    if isinstance(value, Markup):
        return f"<td>{value}</td>"
    if value is None:
        return '<td class="soft">-</td>'
    kind = ' class="n"' if isinstance(value, int | float) else ""
    return f"<td{kind}>{escape(number(value) if isinstance(value, float) else str(value))}</td>"


def number(value: float) -> str:
    """Four significant digits, and no exponent where people read none."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - a matter of reading


def verdict_table(verdict: Verdict) -> str:
    """The outcome, then each reason on its line."""
    rows = [
        (outcome_tag(r.outcome), r.metric, r.message, r.found, r.limit, r.unit, r.samples)
        for r in verdict.reasons
    ]
    head = ("outcome", "metric", "what was seen", "found", "limit", "unit", "samples")
    return f"<p>Verdict: {outcome_tag(verdict.outcome)}</p>{table(head, rows)}"


class Line(NamedTuple):
    """One line of a chart; None leaves a gap."""

    name: str
    values: Sequence[float | None]
    css: str


def sparkline(values: Sequence[float | None], *, limit: float) -> Markup:
    """A word-sized line with its alarm limit dashed."""
    chart = _Chart(120, 28, top=max([limit * 1.2, *(v for v in values if v is not None)]), steps=len(values))
    return Markup(
        f'<svg width="120" height="28" role="img" aria-label="effect by window">'
        f"{chart.level(limit)}{chart.line(values, 'a')}</svg>"
    )


def line_chart(lines: Sequence[Line], *, labels: tuple[str, str], limit: float | None = None) -> str:
    """Lines over the same steps, with a legend; `labels` name the first and the last step."""
    shown = [v for line in lines for v in line.values if v is not None] + ([limit] if limit else [])
    if not shown:
        return '<p class="soft">nothing to draw yet</p>'
    chart = _Chart(760, 180, top=max(shown) * 1.05 or 1.0, steps=max(len(line.values) for line in lines))
    drawn = "".join(chart.line(line.values, line.css) for line in lines)
    legend = " · ".join(
        f'<svg width="18" height="8" style="display:inline"><line class="{line.css}" x1="0" x2="18" y1="4" '
        f'y2="4"/></svg> {escape(line.name)}'
        for line in lines
    )
    return (
        f'<div>{legend}</div><svg class="wide" viewBox="0 0 760 200" role="img" '
        f'aria-label="{escape(", ".join(line.name for line in lines))}">'
        f'<line class="axis" x1="0" x2="760" y1="180" y2="180"/>{chart.level(limit) if limit else ""}{drawn}'
        f'<text x="2" y="12">{number(chart.top)}</text><text x="2" y="196">{escape(labels[0])}</text>'
        f'<text x="758" y="196" text-anchor="end">{escape(labels[1])}</text></svg>'
    )


class _Chart(NamedTuple):
    width: int
    height: int
    top: float
    steps: int

    def _y(self, value: float) -> float:
        return self.height - 1 - (self.height - 3) * value / self.top

    def level(self, value: float) -> str:
        y = self._y(value)
        return f'<line class="limit" x1="0" x2="{self.width}" y1="{y:.1f}" y2="{y:.1f}"/>'

    def line(self, values: Sequence[float | None], css: str) -> str:
        """One polyline per stretch without gaps; a lone point becomes a short dash."""
        step = self.width / max(self.steps, 1)
        drawn, stretch = [], []
        for k, value in enumerate([*values, None]):
            if value is not None:
                stretch.append((step * (k + 0.5), self._y(value)))
            elif stretch:
                drawn.append(self._polyline(stretch, css))
                stretch = []
        return "".join(drawn)

    def _polyline(self, points: list[tuple[float, float]], css: str) -> str:
        if len(points) == 1:
            (x, y), half = points[0], 3.0
            points = [(x - half, y), (x + half, y)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        return f'<polyline class="{css}" points="{path}"/>'
