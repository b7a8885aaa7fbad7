"""The vendored loans, counted a second time with nothing but the standard library."""

import csv
import hashlib
import io
from collections import Counter
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from modelway.data.ingest import ingest
from modelway.data.labels import with_label
from modelway.data.leaks import column_powers, suspicious
from modelway.data.snapshot import FolderSnapshotStore, Snapshot
from usecases.credit import use_case
from usecases.credit.sample import SAMPLE_TEXT_SHA256, in_sample, sample_text, write_sample
from usecases.credit.source import SAMPLE

LIMIT_BYTES = 4_000_000


@pytest.fixture(scope="module")
def text() -> bytes:
    return pa.input_stream(str(SAMPLE), compression="zstd").read()


@pytest.fixture(scope="module")
def records(text) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode())))


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FolderSnapshotStore:
    return FolderSnapshotStore(str(tmp_path_factory.mktemp("snapshots")))


@pytest.fixture(scope="module")
def snapshot(store) -> Snapshot:
    return ingest(use_case, None, store)


def _day(text: str) -> datetime | None:
    """The standard library's pivot is 69; the records end in 2014."""
    if not text:
        return None
    day = datetime.strptime(text, "%d-%b-%y").replace(tzinfo=UTC)
    return day.replace(year=day.year - 100) if day.year > 2014 else day


def _faults(record: dict[str, str]) -> list[str]:
    approved, paid_out = _day(record["ApprovalDate"]), _day(record["DisbursementDate"])
    charged_off, status = _day(record["ChgOffDate"]), record["MIS_Status"]
    checks = {
        "null_label": not status,
        "paid_with_charge_off_date": status == "P I F" and charged_off,
        "charged_off_without_date": status == "CHGOFF" and not charged_off,
        "disbursed_before_approval": paid_out and paid_out < approved,
        "never_disbursed": not paid_out,
        "charged_off_before_disbursement": paid_out and charged_off and charged_off < paid_out,
        "revolving_line_code": record["RevLineCr"] not in ("Y", "N", ""),
        "low_doc_code": record["LowDoc"] not in ("Y", "N", ""),
        "jobs_created_sentinel": record["CreateJob"] == "8800",
        "jobs_retained_sentinel": record["RetainedJob"] == "8800",
        "money_as_text": "$" in record["GrAppv"],
        "industry_unknown": record["NAICS"] == "0",
        "new_business_unknown": record["NewExist"] not in ("1", "2"),
        "urban_rural_undefined": record["UrbanRural"] == "0",
        "revolving_line_missing": not record["RevLineCr"],
        "low_doc_missing": not record["LowDoc"],
        "state_missing": not record["State"],
        "bank_state_missing": not record["BankState"],
        "no_employees": record["NoEmp"] == "0",
    }
    return [name for name, broken in checks.items() if broken]


def test_the_sample_is_the_one_described(text, records) -> None:
    assert hashlib.sha256(text).hexdigest() == SAMPLE_TEXT_SHA256
    assert SAMPLE.stat().st_size <= LIMIT_BYTES
    assert len(records) == 112_331
    assert all(in_sample(record["LoanNr_ChkDgt"]) for record in records)
    assert not {"Name", "City", "Bank", "Zip"} & set(records[0])


def test_every_dirty_class_is_counted_as_a_loop_over_the_text_counts_it(snapshot, records) -> None:
    expected = Counter(name for record in records for name in _faults(record))
    found = snapshot.contract.evidence["rules"]

    assert {name: found[name]["rows"] for name in expected} == dict(expected)
    assert expected["null_label"] > 200
    assert expected["paid_with_charge_off_date"] > 500


def test_every_rule_of_the_contract_stands_in_the_report(snapshot) -> None:
    named = {reason.metric for reason in snapshot.contract.reasons}

    assert {rule.name for rule in use_case.contract.rules} <= named


def test_kept_and_quarantined_rows_are_all_rows(snapshot, store, records) -> None:
    kept = store.scan(snapshot.id).collect()["loan_id"]
    aside = store.quarantine(snapshot.id)

    assert sorted([*kept, *aside["loan_id"]]) == sorted(r["LoanNr_ChkDgt"] for r in records)
    assert aside["_reason"].null_count() == 0
    assert (snapshot.rows, snapshot.quarantined) == (kept.len(), aside.height)


def test_the_label_agrees_with_a_loop_over_the_text(snapshot, store, records) -> None:
    labels = dict(
        with_label(store.scan(snapshot.id), use_case.label).select("loan_id", "label").collect().iter_rows()
    )
    expected = {}
    for record in records:
        if record["LoanNr_ChkDgt"] not in labels:
            continue
        paid_out, charged_off = _day(record["DisbursementDate"]), _day(record["ChgOffDate"])
        try:
            horizon = paid_out.replace(year=paid_out.year + 2)
        except ValueError:  # 29 February
            horizon = paid_out.replace(year=paid_out.year + 2, day=28)
        expected[record["LoanNr_ChkDgt"]] = int(charged_off is not None and charged_off <= horizon)

    assert labels == expected


def test_as_of_a_day_nothing_later_is_seen(snapshot, store) -> None:
    as_of = datetime(2005, 1, 1, tzinfo=UTC)

    seen = store.scan(snapshot.id, as_of=as_of).collect()

    assert 0 < seen.height < snapshot.rows
    for clock in ("event_time", "known_at", "disbursed_at", "charged_off_at"):
        assert seen[clock].max() <= as_of


def test_the_leak_probe_finds_the_term_by_itself(snapshot, store) -> None:
    rows = with_label(store.scan(snapshot.id), use_case.label).collect()
    columns = [c.name for c in use_case.contract.columns if c.kind != "timestamp" and c.name != "loan_id"]

    assert [power.column for power in suspicious(column_powers(rows, columns, "label"))] == ["term_months"]


def test_the_sample_is_made_again_from_a_full_file(tmp_path, records) -> None:
    full = tmp_path / "full.csv"
    more = [{**record, "Name": "n", "LoanNr_ChkDgt": str(n)} for n, record in enumerate(records[:500])]
    pl.DataFrame(more).write_csv(full)
    write_sample(full, tmp_path / "sample.csv.zst")

    again = list(csv.DictReader(io.StringIO(sample_text(full).decode())))

    assert [r["LoanNr_ChkDgt"] for r in again] == [str(n) for n in range(500) if in_sample(str(n))]
    assert pa.input_stream(str(tmp_path / "sample.csv.zst"), compression="zstd").read() == sample_text(full)
    assert "Name" not in again[0]
