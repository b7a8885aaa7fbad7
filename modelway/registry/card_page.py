"""The model card as a page: the same words as the Markdown, in the frame of our reports."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from modelway.contract import Outcome
from modelway.evaluation.page import mark, page, table

CARD_PAGE_FILE = "model_card.html"

_CODE = re.compile(r"`([^`]+)`")
_CELLS = re.compile(r"(?<!\\)\|")
_RULE = re.compile(r"\|(-{3}\|)+")
_OUTCOMES = {outcome.value: mark(outcome) for outcome in Outcome}


def card_page(markdown: str) -> str:
    """One self-contained HTML document.

    Args:
        markdown: What `model_card` has written: headings, lists, tables and paragraphs, code in backticks.
    """
    heading, *lines = markdown.splitlines()
    return page(heading.removeprefix("# "), "\n".join(_blocks(lines)))


def _blocks(lines: Sequence[str]) -> Iterator[str]:
    for kind, found in groupby(_joined(lines), key=_kind):
        block = tuple(found)
        if kind == "heading":
            yield from (f"<h2>{_text(line.lstrip('# '))}</h2>" for line in block)
        elif kind == "list":
            yield f"<ul>{''.join(f'<li>{_text(line[2:])}</li>' for line in block)}</ul>"
        elif kind == "table":
            yield _table(block)
        elif kind == "text":
            yield f"<p>{_text(' '.join(block))}</p>"


def _joined(lines: Sequence[str]) -> Iterator[str]:
    """Lines, those that continue a list's entry put on its end."""
    waiting: str | None = None
    for line in lines:
        if waiting is not None and line.startswith("  "):
            waiting += f" {line.strip()}"
            continue
        if waiting is not None:
            yield waiting
        waiting = line
    if waiting is not None:
        yield waiting


def _kind(line: str) -> str:
    starts = {"#": "heading", "- ": "list", "|": "table"}
    return next((kind for start, kind in starts.items() if line.startswith(start)), "text" if line else "gap")


def _table(lines: Sequence[str]) -> str:
    head, *rows = (_cells(line) for line in lines if not _RULE.fullmatch(line))
    return table(head, ([_cell(cell) for cell in row] for row in rows))


def _cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in _CELLS.split(line)[1:-1]]


def _cell(cell: str) -> str:
    return _OUTCOMES.get(cell) or _text(cell)


def _text(line: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(line))
