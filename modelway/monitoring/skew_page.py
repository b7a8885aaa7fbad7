"""The page about served features: which of them are other ones than training's, and where."""

from collections.abc import Iterator
from html import escape
from pathlib import Path

from modelway.evaluation.page import more, page, section, table, tiles
from modelway.monitoring.charts import number, verdict_block
from modelway.monitoring.report import links_beside, write_page
from modelway.monitoring.skew import FeatureSkew, SkewReport, Value


def render_skew(report: SkewReport, links: str = "") -> str:
    """One self-contained HTML document; `links` to other pages of that day, from `links_beside`."""
    body = (
        links
        + tiles(_numbers(report))
        + section("Are they what training sees?", report.missing or "", verdict_block(report.verdict))
        + _features(report)
        + _examples(report)
    )
    return page(f"{report.model}: served features, {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}", body)


def write_skew(report: SkewReport, path: Path) -> Path:
    """Write the page, and beside it the same as `.json` for machines; each appears whole or not at all.

    Raises:
        StorageError: It cannot be written.
    """
    write_page(path, render_skew(report, links_beside(path)), report.model_dump_json(indent=2))
    return path


def _numbers(report: SkewReport) -> list[tuple[str, str, str]]:
    wrong = [feature for feature in report.features if feature.differing]
    worst = max(report.features, key=lambda feature: feature.share or 0.0, default=None)
    exact = sum(feature.exact for feature in report.features)
    values = sum(feature.rows for feature in report.features)
    return [
        ("rows compared", f"{report.compared:,}", f"of {report.predictions:,} logged"),
        ("features that differ", str(len(wrong)), f"of {len(report.features)} compared"),
        ("equal to the bit", f"{exact / values:.2%}" if values else "-", f"of {values:,} values"),
        ("worst feature", worst.name if wrong and worst else "none", f"bundle {report.bundle[:12]}"),
    ]


def _features(report: SkewReport) -> str:
    policy = report.policy
    lead = (
        f"A number differs beyond {policy.relative_tolerance:g} of itself; "
        f"{policy.max_differing_share:.1%} of the rows may. Largest difference and 99th percentile: of rows "
        "with a value on both sides."
    )
    head = ("feature", "view", "rows", "exact", "differ", "no value online", "none offline", "largest", "p99")
    rows = [_feature_row(feature) for feature in _worst_first(report)]
    return section("Feature by feature", lead, table(head, rows, numbers=frozenset(range(2, 9))))


def _worst_first(report: SkewReport) -> list[FeatureSkew]:
    return sorted(report.features, key=lambda feature: -(feature.share or 0.0))


def _feature_row(feature: FeatureSkew) -> tuple[str, ...]:
    exact = f"{feature.exact / feature.rows:.2%}" if feature.rows else "-"
    counts = (feature.differing, feature.missing_online, feature.missing_offline)
    return (
        escape(feature.name),
        escape(feature.view or "the row itself"),
        f"{feature.rows:,}",
        exact,
        *(f"{count:,}" for count in counts),
        number(feature.max_difference),
        number(feature.p99_difference),
    )


def _examples(report: SkewReport) -> str:
    told = [feature for feature in _worst_first(report) if feature.examples]
    if not told:
        return ""
    lead = "Missing on one side first, then by the size of the difference."
    return section("The worst rows", lead, *(_rows_of(feature) for feature in told))


def _rows_of(feature: FeatureSkew) -> str:
    head = ("subject", "entity", "asked for (UTC)", "stored value from (UTC)", "online", "offline")
    rows = list(_example_rows(feature))
    return more(f"{feature.name}: {feature.differing:,} rows", table(head, rows, numbers=frozenset({4, 5})))


def _example_rows(feature: FeatureSkew) -> Iterator[tuple[str, ...]]:
    for each in feature.examples:
        stored = "-" if each.stored_at is None else f"{each.stored_at:%Y-%m-%d %H:%M:%S}"
        yield (
            escape(each.subject or "-"),
            escape(each.entity or "-"),
            f"{each.at:%Y-%m-%d %H:%M:%S}",
            stored,
            _said(each.online),
            _said(each.offline),
        )


def _said(value: Value) -> str:
    return "missing" if value is None else escape(value) if isinstance(value, str) else f"{value:.9g}"
