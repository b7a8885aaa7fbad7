"""Try a use case on its own data: does it keep what its contract, clocks and label promise?

What is tried: declaration, load, clean, contract, snapshot and as-of read, label, training set, leaks.
What is not tried here: training, parity, bundling and serving; `stacks.roundtrip` does.
"""

import tempfile
from collections.abc import Iterator
from datetime import datetime

import polars as pl

from modelway.contract import Outcome, Reason, Verdict
from modelway.data.declared import columns_of_features, explanations, label_columns
from modelway.data.ingest import ingest
from modelway.data.labels import with_label
from modelway.data.leaks import column_powers, leak_reasons
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from modelway.errors import ModelwayError
from modelway.features.training_set import build_training_set
from modelway.usecase import UseCase

NOT_TRIED = ("train", "parity", "bundle", "serve")


def check_use_case(use_case: UseCase, source: str | None = None) -> Verdict:
    """Run every check that the ones before it make possible.

    Args:
        use_case: An installed one, or any object that keeps the protocol.
        source: Where it reads; None is its default.

    Returns:
        PASS, FAIL or INCONCLUSIVE with one reason per check; the evidence names what was not tried.
    """
    reasons = declaration(use_case)
    if all(reason.outcome is Outcome.PASS for reason in reasons):
        reasons += list(_tries(use_case, source))
    return Verdict.of(reasons, {"use_case": use_case.name, "not_tried": list(NOT_TRIED)})


def declaration(use_case: UseCase) -> list[Reason]:
    """Whether what the use case says of itself fits together. Reads no data."""
    columns = {column.name: column for column in use_case.contract.columns}
    needed = {use_case.contract.key, "event_time", "known_at", *label_columns(use_case)}
    clocks = {column.known_from for column in columns.values()} | {"event_time", "known_at"}
    no_clock = sorted(c for c in clocks if c in columns and columns[c].kind != "timestamp")
    used = {name for names in columns_of_features(use_case).values() for name in names}
    slices = {s.column for s in use_case.slices}
    entities = {view.entity for view in use_case.features.views}
    return [
        _all_in("columns", needed | clocks, set(columns), "the contract's columns"),
        _expect(
            "clocks", not no_clock, "every clock is a timestamp", f"no timestamps: {', '.join(no_clock)}"
        ),
        _all_in("features", used | entities, set(columns), "the contract's columns"),
        _none_in("forbidden", used, set(use_case.contract.forbidden)),
        _all_in("slices", slices, set(use_case.features.names), "the features"),
        _expect("candidates", bool(use_case.candidates), "a model to try", "no candidate: nothing to train"),
    ]


def _tries(use_case: UseCase, source: str | None) -> Iterator[Reason]:
    with tempfile.TemporaryDirectory() as folder:
        store = FolderSnapshotStore(folder)
        try:
            snapshot = ingest(use_case, source, store)
        except ModelwayError as error:
            yield Reason(metric="ingest", outcome=Outcome.FAIL, message=str(error))
            return
        yield _ingested(snapshot)
        yield _same_twice(use_case, source, store, snapshot)
        yield from _on_rows(use_case, store, snapshot)


def _on_rows(use_case: UseCase, store: FolderSnapshotStore, snapshot: Snapshot) -> Iterator[Reason]:
    history = store.scan(snapshot.id)
    labelled = with_label(history, use_case.label).collect()
    yield _known_before(labelled)
    yield _as_of_hides(store, snapshot, labelled)
    yield _both_classes(labelled)
    reason, trained_on = _training_set(use_case, history, labelled)
    yield reason
    yield from _leaks(use_case, labelled, trained_on)


def _leaks(use_case: UseCase, labelled: pl.DataFrame, trained_on: pl.DataFrame | None) -> list[Reason]:
    """Every column of the table, used or not, and every feature that is computed from some."""
    own = {use_case.contract.key, *label_columns(use_case)}
    columns = [c.name for c in use_case.contract.columns if c.kind != "timestamp" and c.name not in own]
    powers = column_powers(labelled, columns, "label")
    if powers and trained_on is not None:
        computed = [name for name in use_case.features.names if name not in columns]
        powers += column_powers(trained_on, computed, "label")
    return leak_reasons(
        sorted(powers, key=lambda power: -power.roc_auc),
        forbidden=use_case.contract.forbidden,
        explained=explanations(use_case),
    )


def _ingested(snapshot: Snapshot) -> Reason:
    message = f"{snapshot.rows:,} rows committed, {snapshot.quarantined:,} set aside"
    return Reason(metric="ingest", outcome=Outcome.PASS, message=message, samples=snapshot.rows)


def _same_twice(use_case: UseCase, source: str | None, store: FolderSnapshotStore, first: Snapshot) -> Reason:
    same = ingest(use_case, source, store).id == first.id
    return _expect(
        "repeatable", same, "reading again gives the same snapshot", "reading again gives another snapshot"
    )


def _known_before(rows: pl.DataFrame) -> Reason:
    """A row that was known before it happened has its clocks the wrong way round."""
    early = rows.filter(pl.col("known_at") < pl.col("event_time")).height
    return _expect(
        "two clocks",
        not early,
        "no row is known before it happens",
        f"{early:,} rows are known before they happen",
    )


def _as_of_hides(store: FolderSnapshotStore, snapshot: Snapshot, rows: pl.DataFrame) -> Reason:
    middle = _time(rows["known_at"].sort()[rows.height // 2])
    seen = store.scan(snapshot.id, as_of=middle).collect()
    late = [
        name for name, clock in snapshot.clocks.items() if clock == name and seen[name].dtype.is_temporal()
    ]
    future = sum(seen.filter(pl.col(name) > middle).height for name in late)
    return _expect(
        "as-of read",
        0 < seen.height <= rows.height and not future,
        f"as of {middle:%Y-%m-%d} {seen.height:,} of {rows.height:,} rows show, and nothing of later",
        f"as of {middle:%Y-%m-%d} {future:,} values of later show",
    )


def _both_classes(rows: pl.DataFrame) -> Reason:
    labels = rows["label"].drop_nulls()
    share = float(labels.mean() or 0.0)  # type: ignore[arg-type]  # polars types the mean of any column
    both = set(labels.unique()) == {0, 1}
    return _expect(
        "label", both, f"{share:.2%} of {labels.len():,} rows are positive", "only one class is there"
    )


def _training_set(
    use_case: UseCase, history: pl.LazyFrame, labelled: pl.DataFrame
) -> tuple[Reason, pl.DataFrame | None]:
    as_of = _time(labelled["label_matured_at"].max())
    try:
        frame = build_training_set(use_case, history, as_of=as_of)
    except ModelwayError as error:
        return Reason(metric="training set", outcome=Outcome.FAIL, message=str(error)), None
    names = use_case.features.names
    message = f"{frame.height:,} rows with {len(names)} features as of {as_of:%Y-%m-%d}"
    return Reason(metric="training set", outcome=Outcome.PASS, message=message), frame


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise TypeError(f"no time: {value!r}")
    return value


def _all_in(metric: str, wanted: set[str], there: set[str], where: str) -> Reason:
    missing = sorted(wanted - there)
    return _expect(
        metric,
        not missing,
        f"all {len(wanted)} are among {where}",
        f"not among {where}: {', '.join(missing)}",
    )


def _none_in(metric: str, used: set[str], banned: set[str]) -> Reason:
    leaky = sorted(used & banned)
    return _expect(metric, not leaky, "no feature uses one", f"features use {', '.join(leaky)}")


def _expect(metric: str, holds: bool, good: str, bad: str) -> Reason:
    return Reason(
        metric=metric, outcome=Outcome.PASS if holds else Outcome.FAIL, message=good if holds else bad
    )
