"""Card payments made up by a seeded simulator: will one be charged back within two months?"""

from collections.abc import Iterator

import polars as pl

from modelway.bundle.derived import Derived
from modelway.bundle.policy import ByKey, ServingPolicy
from modelway.contract import (
    Candidate,
    Choice,
    CostMatrix,
    FloatRange,
    Gates,
    IntRange,
    LabelRule,
    Slice,
    Slo,
)
from modelway.data.reading import CHUNK_ROWS, read_table
from modelway.features.definitions import Feature, FeatureSet
from modelway.training.policy import TrainingPolicy
from usecases.fraud.contract import CONTRACT, RAW_COLUMNS, clean_transactions
from usecases.fraud.history import VIEWS
from usecases.fraud.simulator.run import simulate
from usecases.fraud.simulator.scenario import is_address, scenario_of

ROW_FEATURES = (
    Feature(name="amount_eur", unit="EUR"),
    Feature(name="limit_eur", description="what the card may spend in a month", unit="EUR"),
    Feature(name="distance_km", unit="km"),
    Feature(name="hour", sql="EXTRACT(hour FROM event_time)", description="of the day, UTC", unit="h"),
    Feature(name="weekday", sql="EXTRACT(isodow FROM event_time)", description="1 is Monday"),
    Feature(
        name="delay_s",
        sql="CAST(CAST(known_at AS BIGINT) - CAST(event_time AS BIGINT) AS DOUBLE) / 1000000",
        description="from the purchase to its arrival",
        unit="s",
    ),
    Feature(name="merchant_category", kind="category"),
    Feature(name="entry", kind="category"),
)
# What a payment brings over what the store holds: neither the client nor the stream job can know these.
DERIVED = (
    Derived(
        name="limit_share",
        how="ratio",
        of=("amount_eur", "limit_eur"),
        description="of the card's limit that this payment alone takes",
    ),
    Derived(
        name="amount_to_card_mean_24h",
        how="ratio",
        of=("amount_eur", "card_mean_eur_24h"),
        description="against what the card paid today",
    ),
    Derived(
        name="amount_to_card_mean_7d",
        how="ratio",
        of=("amount_eur", "card_mean_eur_7d"),
        description="against what the card paid this week",
    ),
    Derived(
        name="amount_to_merchant_mean_7d",
        how="ratio",
        of=("amount_eur", "merchant_mean_eur_7d"),
        description="against what others paid at the merchant",
    ),
    Derived(
        name="card_purchases_1h_share",
        how="ratio",
        of=("card_purchases_1h", "card_purchases_24h"),
        description="of the card's day that fell into its last hour: 1 is a burst",
    ),
)


class FraudUseCase:
    """Everything the platform needs to know about the made-up payments."""

    name = "fraud"
    description = "Card payments made up by a seeded simulator: charged back within 2 months"
    default_source = "simulator?seed=7&days=120&cards=2000"
    """A scenario's address, or a CSV or Parquet file that `python -m usecases.fraud.simulator` wrote."""
    contract = CONTRACT
    label = LabelRule(
        name="charged_back_in_2_months",
        starts_at="event_time",
        happened_at="charged_back_at",
        horizon_months=2,
    )
    features = FeatureSet(row=ROW_FEATURES, views=VIEWS, derived=DERIVED)
    candidates = (
        Candidate(
            kind="hgb",
            space={
                "learning_rate": FloatRange(low=0.03, high=0.15, log=True),
                "max_leaf_nodes": IntRange(low=6, high=31, log=True),
                "min_samples_leaf": IntRange(low=30, high=200, log=True),
                "l2_regularization": FloatRange(low=1.0, high=30.0, log=True),
            },
            fixed={"max_iter": 80},
        ),
        Candidate(
            kind="mlp",
            space={
                "hidden": Choice(options=(32, 64)),
                "learning_rate": FloatRange(low=3e-4, high=1e-2, log=True),
                "dropout": FloatRange(low=0.0, high=0.3),
            },
            fixed={"epochs": 4, "batch_size": 2048},
        ),
    )
    gates = Gates(
        min_roc_auc=0.75,
        min_pr_auc_lift=5.0,
        max_calibration_error=0.02,
        min_rows=2_000,
        min_positives=30,
        min_slice_rows=1_000,
    )
    slo = Slo(latency_limit_ms=25, latency_percentile=99, max_error_rate=0.001, rate_rps=200)
    # A blocked honest purchase costs a call and some goodwill; a fraud let through costs about what a
    # fraudulent purchase of the default scenario comes to. Made up like the data: put your own in.
    costs = CostMatrix(false_positive=5, false_negative=180, currency="EUR")
    slices = (Slice(name="way of paying", column="entry"),)
    # A payment names its card and merchant and brings its own columns. One that the store does not know, or
    # has not heard of for a quarter of a year, is scored without: so it is in training.
    serving = ServingPolicy(by_key=ByKey(entity_missing="default", stale="default"))
    training_window_months = 6
    # One burst on a stolen card is many payments and one theft: its rows are calibrated on together.
    training = TrainingPolicy(group="card_id")

    def load(self, source: str) -> Iterator[pl.DataFrame]:
        """The transactions of a scenario or of a file, in order of arrival. The truth is not among them.

        Raises:
            SourceError: No such scenario or file.
            ContractError: The file lacks a column.
        """
        if is_address(source):
            return simulate(scenario_of(source)).transactions.iter_slices(CHUNK_ROWS)
        return read_table(source, RAW_COLUMNS)

    def resolve(self, source: str) -> str:
        """A scenario in its one spelling; a file as it is."""
        return scenario_of(source).address if is_address(source) else source

    def clean(self, raw: pl.DataFrame) -> pl.DataFrame:
        """The typed table; see `contract.clean_transactions`."""
        return clean_transactions(raw)


use_case = FraudUseCase()
