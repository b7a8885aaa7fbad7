"""The loans' cleaning, rule by rule, on rows a reader can check."""

from datetime import UTC, datetime

import polars as pl
import pytest

from modelway.data.report import contract_report
from modelway.data.validation import Inspection, check_columns
from modelway.usecase import UseCase, load_use_case
from usecases.credit import use_case
from usecases.credit.cleaning import RAW_COLUMNS, clean_loans

SOUND = {
    "LoanNr_ChkDgt": "1000014003",
    "State": "IN",
    "BankState": "OH",
    "NAICS": "451120",
    "ApprovalDate": "28-Feb-97",
    "Term": "84",
    "NoEmp": "4",
    "NewExist": "2",
    "CreateJob": "0",
    "RetainedJob": "3",
    "FranchiseCode": "1",
    "UrbanRural": "0",
    "RevLineCr": "N",
    "LowDoc": "Y",
    "ChgOffDate": None,
    "DisbursementDate": "28-Feb-99",
    "MIS_Status": "P I F",
    "GrAppv": "$60,000.00 ",
    "SBA_Appv": "$48,000.00 ",
}


def raw(*rows: dict[str, str | None]) -> pl.DataFrame:
    numbered = [{**SOUND, "LoanNr_ChkDgt": f"{n:010d}", **row} for n, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=dict.fromkeys(RAW_COLUMNS, pl.String))


def clean(**changes: str | None) -> dict[str, object]:
    return clean_loans(raw(changes)).row(0, named=True)


def broken(**changes: str | None) -> list[str]:
    """Names of the rules that one row with these cells breaks, notes left out."""
    inspection = Inspection(use_case.contract)
    inspection.take(clean_loans(raw(changes)))
    rules = contract_report(use_case.contract, inspection.seen).evidence["rules"]
    return [name for name, found in rules.items() if found["rows"] and found["action"] != "note"]


def test_the_installed_use_case_satisfies_the_protocol() -> None:
    assert load_use_case("credit") is use_case
    assert isinstance(use_case, UseCase)


def test_a_sound_row_by_hand() -> None:
    row = clean(LoanNr_ChkDgt="1000014003")

    moment = datetime(1997, 2, 28, tzinfo=UTC)
    expected = {
        "loan_id": "1000014003",
        "event_time": moment,
        "known_at": moment,
        "disbursed_at": datetime(1999, 2, 28, tzinfo=UTC),
        "charged_off_at": None,
        "state": "IN",
        "bank_state": "OH",
        "industry": "45",
        "employees": 4,
        "new_business": True,
        "jobs_created": 0,
        "jobs_retained": 3,
        "franchise": False,
        "urban_rural": "undefined",
        "revolving_line": "N",
        "low_doc": "Y",
        "approved_usd": 60_000.0,
        "guaranteed_usd": 48_000.0,
        "term_months": 84,
    }
    assert {name: row[name] for name in expected} == expected


def test_the_cleaned_table_has_the_contracts_columns_and_types() -> None:
    check_columns(clean_loans(raw({})), use_case.contract)
    check_columns(clean_loans(raw()), use_case.contract)


def test_every_cell_missing_is_still_a_table_of_the_contracts_types() -> None:
    check_columns(clean_loans(raw(dict.fromkeys(RAW_COLUMNS))), use_case.contract)


@pytest.mark.parametrize(
    ("text", "year", "pivoted"),
    [
        pytest.param("1-Jan-69", 1969, True, id="69-is-read-as-2069-by-the-usual-pivot"),
        pytest.param("1-Jan-70", 1970, False, id="70-is-not"),
        pytest.param("31-Dec-14", 2014, False, id="the-last-year-of-the-records"),
        pytest.param("1-Jan-15", 1915, True, id="a-year-after-the-records-end"),
    ],
)
def test_two_digit_years_fall_into_the_century_in_which_the_records_lie(text, year, pivoted) -> None:
    row = clean(ApprovalDate=text)

    assert (row["event_time"].year, row["known_at"].year, row["year_pivoted"]) == (year, year, pivoted)


@pytest.mark.parametrize(
    ("column", "source", "text", "value"),
    [
        pytest.param("approved_usd", "GrAppv", "$1,234,567.89 ", 1_234_567.89, id="money-as-text"),
        pytest.param("approved_usd", "GrAppv", "500", 500.0, id="money-as-number"),
        pytest.param("approved_usd", "GrAppv", "much", None, id="money-that-is-none"),
        pytest.param("industry", "NAICS", "0", None, id="industry-zero-is-missing"),
        pytest.param("new_business", "NewExist", "1", False, id="existing-business"),
        pytest.param("new_business", "NewExist", "0", None, id="neither-new-nor-existing"),
        pytest.param("franchise", "FranchiseCode", "0", False, id="no-franchise-0"),
        pytest.param("franchise", "FranchiseCode", "78760", True, id="a-franchise"),
        pytest.param("urban_rural", "UrbanRural", "2", "rural", id="rural"),
        pytest.param("state", "State", " ", None, id="blank-is-missing"),
        pytest.param("employees", "NoEmp", "12.0", 12, id="a-count-written-as-decimal"),
    ],
)
def test_a_cell_by_hand(column, source, text, value) -> None:
    assert clean(**{source: text})[column] == value


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        pytest.param({}, [], id="sound"),
        pytest.param({"MIS_Status": None}, ["null_label"], id="no-outcome"),
        pytest.param({"ChgOffDate": "1-Jan-05"}, ["paid_with_charge_off_date"], id="paid-and-charged-off"),
        pytest.param({"MIS_Status": "CHGOFF"}, ["charged_off_without_date"], id="charged-off-never"),
        pytest.param(
            {"DisbursementDate": "27-Feb-97"}, ["disbursed_before_approval"], id="paid-out-too-early"
        ),
        pytest.param({"DisbursementDate": "28-Feb-97"}, [], id="paid-out-on-the-day"),
        pytest.param({"DisbursementDate": None}, ["never_disbursed"], id="never-paid-out"),
        pytest.param(
            {"MIS_Status": "CHGOFF", "ChgOffDate": "27-Feb-99"},
            ["charged_off_before_disbursement"],
            id="charged-off-before-it-was-paid-out",
        ),
        pytest.param({"RevLineCr": "T"}, ["revolving_line_code"], id="line-code"),
        pytest.param({"LowDoc": "C"}, ["low_doc_code"], id="low-doc-code"),
        pytest.param({"CreateJob": "8800"}, ["jobs_created_sentinel"], id="jobs-created"),
        pytest.param({"RetainedJob": "8800"}, ["jobs_retained_sentinel"], id="jobs-retained"),
        pytest.param({"GrAppv": "?"}, ["approved_usd:not_nullable"], id="no-amount"),
        pytest.param({"UrbanRural": "9"}, ["urban_rural:not_nullable"], id="unknown-place"),
    ],
)
def test_each_dirty_class_is_found_by_its_own_rule(changes, rules) -> None:
    assert broken(**changes) == rules


def test_codes_without_a_meaning_become_missing_and_the_row_stays() -> None:
    kept, aside = Inspection(use_case.contract).take(clean_loans(raw({"RevLineCr": "0", "LowDoc": "S"})))

    assert (kept["revolving_line"][0], kept["low_doc"][0], aside.height) == (None, None, 0)


def test_no_feature_uses_a_column_that_says_how_the_loan_ended() -> None:
    names = {name for f in use_case.features.row for name in pl.sql_expr(f.sql or f.name).meta.root_names()}

    assert not names & {"term_months", "disbursed_at", "charged_off_at"}
    assert set(use_case.contract.forbidden) == {"term_months", "disbursed_at", "charged_off_at"}


def test_derived_features_by_hand() -> None:
    sql = {f.name: f.sql for f in use_case.features.row if f.sql}
    rows = clean_loans(raw({}, {"State": "OH"}, {"State": None, "NewExist": "0"}))

    values = rows.select(pl.sql_expr(text).alias(name) for name, text in sql.items())

    assert values["same_state"].to_list() == [0.0, 1.0, None]
    assert values["new_business"].to_list() == [1.0, 1.0, None]
    assert values["franchise"].to_list() == [0.0, 0.0, 0.0]


def test_the_named_sources_lead_to_files() -> None:
    assert use_case.resolve("sample").endswith("data/credit_sample.csv.zst")
    assert use_case.resolve("full").endswith("sources/credit/train.csv")
    assert use_case.resolve("mine.csv") == "mine.csv"
