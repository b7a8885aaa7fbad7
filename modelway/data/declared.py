"""What follows from a use case's declarations: which columns its label and its features are made of."""

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from modelway.usecase import UseCase


def label_columns(use_case: "UseCase") -> list[str]:
    """Columns that the label rule reads."""
    rule = use_case.label
    return [name for name in (rule.starts_at, rule.happened_at, rule.value) if name]


def columns_of_features(use_case: "UseCase") -> dict[str, list[str]]:
    """Row feature -> the columns that it is computed from."""
    return {
        feature.name: pl.sql_expr(feature.sql).meta.root_names() if feature.sql else [feature.name]
        for feature in use_case.features.row
    }


def explanations(use_case: "UseCase") -> dict[str, str]:
    """Why a column may be strong; a feature computed from it may be so for the same reason."""
    why = {column.name: column.strong_because for column in use_case.contract.columns}
    computed = columns_of_features(use_case).items()
    return {**{name: "; ".join(filter(None, map(why.get, roots))) for name, roots in computed}, **why}
