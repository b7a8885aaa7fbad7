"""The frame all our HTML reports share: one self-contained file, light and dark, wide and narrow.

Nothing is fetched: style and figures stand in the page, so that it reads the same in five years, in a
mail and without a network.
"""

from collections.abc import Iterable, Sequence
from html import escape

from modelway.contract import Outcome

_STYLE = """
:root{color-scheme:light dark;--ground:#f7f7f5;--card:#fff;--ink:#1d2129;--soft:#626b78;--line:#dfe1e5;
--one:#1f5fc4;--two:#b4540a;--pass:#1a7a43;--fail:#b3261e;--inconclusive:#8a6100;--tint:#eef2f8}
@media(prefers-color-scheme:dark){:root{--ground:#14171c;--card:#1c2027;--ink:#e7e9ed;--soft:#9aa4b2;
--line:#333a45;--one:#7fb0ff;--two:#f0a35e;--pass:#66cf8f;--fail:#ff8a80;--inconclusive:#e6bd5a;--tint:#232a35}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans",sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 16px 56px}
h1{font-size:1.7rem;line-height:1.2;margin:0 0 4px}
h2{font-size:1.15rem;margin:36px 0 8px}
h3{font-size:.95rem;margin:0 0 6px}
p{margin:4px 0 12px;max-width:76ch}
.soft,.lead,figcaption,footer{color:var(--soft)}
.lead{margin:-4px 0 14px}
.card,figure{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
figure{margin:0;min-width:0}
figcaption{font-size:.82rem;margin-top:6px}
.grid{display:grid;gap:14px;grid-template-columns:repeat(auto-fill,minmax(min(100%,440px),1fr))}
.grid+*,.card+.grid,.card+.card{margin-top:14px}
.tiles{display:grid;gap:10px;grid-template-columns:repeat(auto-fit,minmax(min(46%,168px),1fr));margin:16px 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px}
.tile b{display:block;font-size:1.45rem;font-weight:650;line-height:1.25;font-variant-numeric:tabular-nums}
.tile span{display:block;font-size:.8rem;color:var(--soft)}
.banner{border-left:6px solid var(--mark);background:var(--card);border-radius:8px;
padding:12px 16px;margin:18px 0}
.banner b{color:var(--mark)}
.pass{--mark:var(--pass)}.fail{--mark:var(--fail)}.inconclusive{--mark:var(--inconclusive)}
.mark{color:var(--mark);font-weight:650;white-space:nowrap}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.88rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:6px 14px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:550}
tr:last-child td{border-bottom:0}
td.n,th.n{text-align:right;white-space:nowrap}
.wrap th.n{white-space:normal;min-width:9em}
td code{font-size:.82rem;overflow-wrap:anywhere}
details{margin-top:10px}
summary{cursor:pointer;color:var(--one)}
footer{margin-top:40px;font-size:.82rem;border-top:1px solid var(--line);padding-top:12px}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{fill:var(--soft);font-size:11px;font-family:inherit}
svg .name{fill:var(--ink)}
.grid-line{stroke:var(--line);stroke-width:1}
.ref{stroke:var(--soft);stroke-width:1;stroke-dasharray:4 4;fill:none}
.l1,.l2{fill:none;stroke-width:2;stroke-linejoin:round}
.l1{stroke:var(--one)}.l2{stroke:var(--two)}
.w1{stroke:var(--one);stroke-width:1.6}.w2{stroke:var(--two);stroke-width:1.6}
.d1{fill:var(--one)}.d2{fill:var(--two)}
.band{fill:var(--one);opacity:.16}
.b1{fill:var(--one);opacity:.55}.b2{fill:var(--two);opacity:.6}
.key{font-size:.82rem;color:var(--soft);margin:0 0 4px}
.key i{display:inline-block;width:14px;height:3px;border-radius:2px;margin:0 5px 3px 0;vertical-align:middle}
.key span{margin-right:14px;white-space:nowrap}
.key .k1{background:var(--one)}.key .k2{background:var(--two)}
@media print{body{background:#fff}.card,figure,.tile{break-inside:avoid}}
"""

_MARKS = {Outcome.PASS: "✓ pass", Outcome.FAIL: "✗ fail", Outcome.INCONCLUSIVE: "? inconclusive"}


def page(title: str, body_html: str) -> str:
    """One whole HTML document.

    Args:
        title: Plain text; it becomes the heading too.
        body_html: What stands below the heading, as HTML.
    """
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body_html}\n</main></body></html>\n"
    )


def section(title: str, lead: str, *parts: str) -> str:
    """A heading, one sentence that says what to look at, and the rest as HTML."""
    text = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    return f"<section><h2>{escape(title)}</h2>{text}{''.join(parts)}</section>\n"


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """The few numbers to see first: (label, value, note) in plain text."""
    cells = (
        f'<div class="tile"><span>{escape(label)}</span><b>{escape(value)}</b>'
        f"<span>{escape(note)}</span></div>"
        for label, value, note in entries
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def banner(outcome: Outcome, text: str) -> str:
    """The verdict, in colour and in words."""
    return f'<div class="banner {outcome.value}"><b>{_MARKS[outcome].upper()}</b> {escape(text)}</div>'


def mark(outcome: Outcome) -> str:
    """An outcome as a word with a sign: not by colour alone."""
    return f'<span class="mark {outcome.value}">{_MARKS[outcome]}</span>'


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: frozenset[int] = frozenset(),
    wrap: bool = False,
) -> str:
    """A table in a card that scrolls sideways on a narrow screen.

    Args:
        head: Column names, plain text.
        rows: Cells as HTML; escape what is text.
        numbers: Indices of the columns to set flush right.
        wrap: Whether the head may break into lines: for long names over short numbers.
    """
    side = ['class="n"' if i in numbers else "" for i in range(len(head))]
    top = "".join(f"<th {side[i]}>{escape(name)}</th>" for i, name in enumerate(head))
    body = "".join(
        f"<tr>{''.join(f'<td {side[i]}>{cell}</td>' for i, cell in enumerate(row))}</tr>" for row in rows
    )
    style = ' class="wrap"' if wrap else ""
    whole = f"<table{style}><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="card scroll">{whole}</div>'


def breakable(name: str) -> str:
    """A long name as HTML that a narrow screen may break behind its dots and underscores."""
    return escape(name).replace("_", "_<wbr>").replace(".", ".<wbr>")


def more(summary: str, content_html: str) -> str:
    """Content that is shown when someone asks for it."""
    return f"<details><summary>{escape(summary)}</summary>{content_html}</details>"


def figure_row(*figures: str) -> str:
    """Figures side by side where there is room; nothing where none was drawn."""
    drawn = "".join(figures)
    return f'<div class="grid">{drawn}</div>' if drawn else ""


def figure(title: str, svg: str, caption: str, *, key: Sequence[str] = ()) -> str:
    """A drawing with its title, the names of its one or two colours, and what it means."""
    names = "".join(f'<span><i class="k{i}"></i>{escape(name)}</span>' for i, name in enumerate(key, 1))
    colours = f'<p class="key">{names}</p>' if names else ""
    return (
        f"<figure><h3>{escape(title)}</h3>{colours}{svg}<figcaption>{escape(caption)}</figcaption></figure>"
    )
