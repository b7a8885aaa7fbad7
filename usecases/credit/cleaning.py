"""From the SBA's text to types: dates, money, codes. What is wrong stays visible for the rules."""

import polars as pl

LAST_RECORDED_YEAR = 2014
"""The records were drawn in 2014: a later year is a two-digit year of the century before."""

RAW_COLUMNS = (
    "LoanNr_ChkDgt",
    "State",
    "BankState",
    "NAICS",
    "ApprovalDate",
    "Term",
    "NoEmp",
    "NewExist",
    "CreateJob",
    "RetainedJob",
    "FranchiseCode",
    "UrbanRural",
    "RevLineCr",
    "LowDoc",
    "ChgOffDate",
    "DisbursementDate",
    "MIS_Status",
    "GrAppv",
    "SBA_Appv",
)
_DATES = {"ApprovalDate": "event_time", "DisbursementDate": "disbursed_at", "ChgOffDate": "charged_off_at"}
_NO_FRANCHISE = ("0", "1")


def clean_loans(raw: pl.DataFrame) -> pl.DataFrame:
    """Type one chunk of raw text columns.

    Returns:
        The contract's columns, and `status`, `year_pivoted`, `money_as_text`, `revolving_line_blank`,
        `low_doc_blank` for its rules. A cell that cannot be read is null.
    """
    text = raw.select(pl.col(RAW_COLUMNS).cast(pl.String).str.strip_chars().replace("", None))
    dates = [_date(source).alias(name) for source, name in _DATES.items()]
    return text.select(
        pl.col("LoanNr_ChkDgt").alias("loan_id"),
        *dates,
        _date("ApprovalDate").alias("known_at"),
        *_words(),
        *_numbers(),
        pl.col("MIS_Status").alias("status"),
        pl.any_horizontal(_century_is_wrong(_parsed(source)) for source in _DATES).alias("year_pivoted"),
        pl.any_horizontal(pl.col("GrAppv", "SBA_Appv").str.contains("[$,]")).alias("money_as_text"),
        pl.col("RevLineCr").is_null().alias("revolving_line_blank"),
        pl.col("LowDoc").is_null().alias("low_doc_blank"),
    )


def _words() -> list[pl.Expr]:
    place = {"1": "urban", "2": "rural", "0": "undefined"}
    return [
        pl.col("State").alias("state"),
        pl.col("BankState").alias("bank_state"),
        pl.when(pl.col("NAICS") != "0").then(pl.col("NAICS").str.head(2)).alias("industry"),
        pl.col("UrbanRural").replace_strict(place, default=None, return_dtype=pl.String).alias("urban_rural"),
        pl.col("RevLineCr").alias("revolving_line"),
        pl.col("LowDoc").alias("low_doc"),
    ]


def _numbers() -> list[pl.Expr]:
    new = pl.col("NewExist").replace_strict({"1": False, "2": True}, default=None, return_dtype=pl.Boolean)
    return [
        _count("NoEmp").alias("employees"),
        _count("CreateJob").alias("jobs_created"),
        _count("RetainedJob").alias("jobs_retained"),
        _count("Term").alias("term_months"),
        new.alias("new_business"),
        pl.col("FranchiseCode").is_in(_NO_FRANCHISE).not_().alias("franchise"),
        _money("GrAppv").alias("approved_usd"),
        _money("SBA_Appv").alias("guaranteed_usd"),
    ]


def _parsed(source: str) -> pl.Expr:
    return pl.col(source).str.to_datetime("%d-%b-%y", strict=False, time_unit="us", time_zone="UTC")


def _century_is_wrong(date: pl.Expr) -> pl.Expr:
    return (date.dt.year() > LAST_RECORDED_YEAR).fill_null(value=False)


def _date(source: str) -> pl.Expr:
    date = _parsed(source)
    return pl.when(_century_is_wrong(date)).then(date.dt.offset_by("-100y")).otherwise(date)


def _count(source: str) -> pl.Expr:
    return pl.col(source).cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)


def _money(source: str) -> pl.Expr:
    return pl.col(source).str.replace_all(r"[$,\s]", "").cast(pl.Float64, strict=False)
