"""Fisher's irises, from scikit-learn: is it virginica? The whole plug-in in one file, to be copied."""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.resources import files

import polars as pl

from modelway.contract import (
    Candidate,
    Choice,
    Column,
    CostMatrix,
    DataContract,
    FloatRange,
    Gates,
    IntRange,
    LabelRule,
    Slice,
    Slo,
)
from modelway.errors import SourceError
from modelway.features.definitions import Feature, FeatureSet
from modelway.usecase import CardNotes

MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
VIRGINICA = "2"
FIRST_DAY = datetime(2020, 1, 1, tzinfo=UTC)
_ROWS = 150
_MIXING_STEP = 61
"""No divisor in common with 150: n -> 61 n mod 150 visits every day once and mixes the species."""


def _why_strong(measure: str) -> str:
    return "species are told apart by their petals, measured before the answer" if "petal" in measure else ""


class IrisUseCase:
    """Everything the platform needs to know about the irises."""

    name = "iris"
    description = "Fisher's irises: is it virginica?"
    default_source = "scikit-learn"
    """`scikit-learn`: the file in that package; else a path to one like it."""
    contract = DataContract(
        version="1.0",
        key="flower",
        columns=(
            Column(name="flower", kind="string", description="row number in Fisher's table"),
            Column(name="event_time", kind="timestamp", description="an ordering, not a fact: see `clean`"),
            Column(name="known_at", kind="timestamp"),
            Column(name="virginica", kind="bool"),
            *(
                Column(name=m, kind="float", ge=0, le=10, description="cm", strong_because=_why_strong(m))
                for m in MEASURES
            ),
        ),
        max_quarantined_share=0.0,
        min_rows=100,
    )
    card_notes = CardNotes(
        intended_use=("Trying the platform out.",),
        out_of_scope=("Botany: 150 flowers of 1935 decide nothing.",),
    )
    label = LabelRule(name="virginica", value="virginica")
    features = FeatureSet(row=tuple(Feature(name=measure, unit="cm") for measure in MEASURES))
    candidates = (
        Candidate(
            kind="hgb",
            space={
                "learning_rate": FloatRange(low=0.03, high=0.3, log=True),
                "max_leaf_nodes": IntRange(low=3, high=15),
            },
            fixed={"max_iter": 60, "min_samples_leaf": 5},
        ),
        Candidate(
            kind="mlp",
            space={
                "hidden": Choice(options=(8, 16)),
                "learning_rate": FloatRange(low=1e-3, high=3e-2, log=True),
            },
            fixed={"epochs": 60, "batch_size": 32},
        ),
    )
    gates = Gates(
        min_roc_auc=0.8,
        max_calibration_error=0.25,
        max_roc_auc_loss=0.05,
        min_slice_rows=10,
        min_rows=20,
        min_positives=5,
    )
    slo = Slo(latency_limit_ms=50, latency_percentile=99, max_error_rate=0.001, rate_rps=50)
    costs = CostMatrix(false_positive=1, false_negative=1, currency="flowers")
    slices: tuple[Slice, ...] = ()
    training_window_months = 12

    def load(self, source: str) -> Iterator[pl.DataFrame]:
        """The 150 rows of scikit-learn's file, or of a file in its form, as text, numbered."""
        try:
            raw = pl.read_csv(
                self.resolve(source),
                has_header=False,
                skip_rows=1,
                new_columns=[*MEASURES, "species"],
                infer_schema=False,
            )
        except (OSError, pl.exceptions.PolarsError) as cause:
            raise SourceError(
                f"{source} cannot be read: {cause}",
                expected="a line of counts, then four measures and a species per line",
                remedy="leave the source out to take scikit-learn's file",
            ) from cause
        yield raw.with_row_index("row")

    def resolve(self, source: str) -> str:
        """The path behind the name `scikit-learn`."""
        return str(files("sklearn.datasets.data") / "iris.csv") if source == "scikit-learn" else source

    def clean(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Type the rows and put them in order.

        Fisher noted no times. The platform splits by time, so each flower gets a day of its own, in an
        order that mixes the species: a way to hold rows out, which says nothing about 2020.
        """
        day = (pl.col("row").cast(pl.Int64) * _MIXING_STEP) % _ROWS
        moment = pl.lit(FIRST_DAY).dt.cast_time_unit("us") + pl.duration(days=day)
        return raw.select(
            (pl.col("row").cast(pl.Int64) + 1).cast(pl.String).alias("flower"),
            moment.alias("event_time"),
            moment.alias("known_at"),
            (pl.col("species") == VIRGINICA).alias("virginica"),
            pl.col(MEASURES).cast(pl.Float64, strict=False),
        )


use_case = IrisUseCase()
