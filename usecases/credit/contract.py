"""What the cleaned loan table promises, and every way in which the real one is dirty.

Counts in the messages are not written here: each ingest counts for itself and reports them.
"""

from modelway.contract import Column, DataContract, RowRule

COLUMNS = (
    Column(name="loan_id", kind="string", description="SBA loan number with check digit"),
    Column(name="event_time", kind="timestamp", description="approval date, midnight UTC"),
    Column(name="known_at", kind="timestamp", description="the approval is known when it is given"),
    Column(name="disbursed_at", kind="timestamp", nullable=True, known_from="disbursed_at"),
    Column(name="charged_off_at", kind="timestamp", nullable=True, known_from="charged_off_at"),
    Column(name="state", kind="string", nullable=True, description="borrower's state"),
    Column(name="bank_state", kind="string", nullable=True, description="lender's state"),
    Column(name="industry", kind="string", nullable=True, description="first two digits of NAICS"),
    Column(name="employees", kind="int", ge=0, le=10_000),
    Column(name="new_business", kind="bool", nullable=True),
    Column(name="jobs_created", kind="int", nullable=True, ge=0),
    Column(name="jobs_retained", kind="int", nullable=True, ge=0),
    Column(name="franchise", kind="bool"),
    Column(name="urban_rural", kind="string", isin=("urban", "rural", "undefined")),
    Column(name="revolving_line", kind="string", nullable=True, isin=("Y", "N")),
    Column(name="low_doc", kind="string", nullable=True, isin=("Y", "N")),
    Column(name="approved_usd", kind="float", ge=0, description="gross amount approved by the bank, USD"),
    Column(name="guaranteed_usd", kind="float", ge=0, description="part the SBA guarantees, USD"),
    Column(
        name="term_months",
        kind="int",
        ge=0,
        description="a leak: rewritten when a loan ends early, so it says how the loan ended",
    ),
)

# The order matters: a row is quarantined for the first rule it breaks.
RULES = (
    RowRule(
        name="null_label",
        message="the loan's outcome is not recorded",
        violated="status IS NULL",
        action="quarantine",
    ),
    RowRule(
        name="paid_with_charge_off_date",
        message="paid in full, yet with a charge-off date: the outcome contradicts itself",
        violated="status = 'P I F' AND charged_off_at IS NOT NULL",
        action="quarantine",
    ),
    RowRule(
        name="charged_off_without_date",
        message="charged off, but nobody knows when: the label has no clock",
        violated="status = 'CHGOFF' AND charged_off_at IS NULL",
        action="quarantine",
    ),
    RowRule(
        name="disbursed_before_approval",
        message="paid out before it was approved",
        violated="disbursed_at < event_time",
        action="quarantine",
    ),
    RowRule(
        name="never_disbursed",
        message="no disbursement date: the label's horizon has no start",
        violated="disbursed_at IS NULL",
        action="quarantine",
    ),
    RowRule(
        name="charged_off_before_disbursement",
        message="charged off before it was paid out",
        violated="charged_off_at < disbursed_at",
        action="quarantine",
    ),
    RowRule(
        name="revolving_line_code",
        message="RevLineCr is meant to be Y or N; other codes have no published meaning",
        violated="revolving_line NOT IN ('Y', 'N')",
        action="repair",
        column="revolving_line",
        repaired="NULL",
    ),
    RowRule(
        name="low_doc_code",
        message="LowDoc is meant to be Y or N; other codes have no published meaning",
        violated="low_doc NOT IN ('Y', 'N')",
        action="repair",
        column="low_doc",
        repaired="NULL",
    ),
    RowRule(
        name="jobs_created_sentinel",
        message="8,800 jobs created, in hundreds of small businesses alike: a filler value",
        violated="jobs_created = 8800",
        action="repair",
        column="jobs_created",
        repaired="NULL",
    ),
    RowRule(
        name="jobs_retained_sentinel",
        message="8,800 jobs retained, in hundreds of small businesses alike: a filler value",
        violated="jobs_retained = 8800",
        action="repair",
        column="jobs_retained",
        repaired="NULL",
    ),
    RowRule(
        name="two_digit_year",
        message="the usual pivot puts the year after 2014, when the records end: read as 19xx",
        violated="year_pivoted",
        action="note",
    ),
    RowRule(
        name="money_as_text",
        message="amounts written as text with $ and commas: read as numbers",
        violated="money_as_text",
        action="note",
    ),
    RowRule(
        name="revolving_line_missing",
        message="RevLineCr is empty",
        violated="revolving_line_blank",
        action="note",
    ),
    RowRule(
        name="low_doc_missing",
        message="LowDoc is empty",
        violated="low_doc_blank",
        action="note",
    ),
    RowRule(
        name="industry_unknown",
        message="NAICS 0, mostly loans from before the code was used: missing",
        violated="industry IS NULL",
        action="note",
    ),
    RowRule(
        name="new_business_unknown",
        message="NewExist is neither 1 (existing) nor 2 (new): missing",
        violated="new_business IS NULL",
        action="note",
    ),
    RowRule(
        name="urban_rural_undefined",
        message="UrbanRural 0: a category of its own, most loans before 1999 have it",
        violated="urban_rural = 'undefined'",
        action="note",
    ),
    RowRule(
        name="state_missing",
        message="the borrower's state is empty",
        violated="state IS NULL",
        action="note",
    ),
    RowRule(
        name="bank_state_missing",
        message="the lender's state is empty",
        violated="bank_state IS NULL",
        action="note",
    ),
    RowRule(
        name="no_employees",
        message="a business with no employees: kept as it is",
        violated="employees = 0",
        action="note",
    ),
)

CONTRACT = DataContract(
    version="1.0",
    key="loan_id",
    columns=COLUMNS,
    rules=RULES,
    forbidden=("term_months", "disbursed_at", "charged_off_at"),
    max_quarantined_share=0.03,
    min_rows=1_000,
)
