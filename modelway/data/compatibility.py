"""Which registered models the present contract breaks: a column of theirs is gone or of another type."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.data.declared import columns_of_features
from modelway.data.validation import TYPES

if TYPE_CHECKING:
    from modelway.usecase import UseCase


class ModelNeeds(Frozen):
    """What one model was made of."""

    features: tuple[str, ...]
    """Names of its inputs."""
    columns: Mapping[str, str] | None
    """Column -> polars type in the snapshot it was made from; None when that is gone."""


def compatibility(use_case: "UseCase", models: Mapping[str, ModelNeeds]) -> Verdict:
    """Hold what models were made of against the present contract.

    A feature of a view needs the column that names its entity. What else the view's code reads is not known
    here, so that any lost column puts such a model in doubt.

    Args:
        use_case: Whose present definitions say what a feature is computed from.
        models: `credit@3 (Production)` -> its needs.

    Returns:
        PASS, FAIL naming model, feature and column, or INCONCLUSIVE where a view may read a lost column or
        nobody knows the columns any more. Without a model nothing can break: PASS.
    """
    reasons = [_model(use_case, name, needs) for name, needs in models.items()]
    nobody = Reason(metric="models", outcome=Outcome.PASS, message="no model in Staging or Production")
    return Verdict.of(reasons or [nobody])


def _model(use_case: "UseCase", name: str, needs: ModelNeeds) -> Reason:
    if needs.columns is None:
        told = f"{name}: the snapshot it was made from is gone, and with it the types of its columns"
        return Reason(metric=name, outcome=Outcome.INCONCLUSIVE, message=told)
    lost = _lost(use_case, needs.columns)
    views = {f.name: view for view in use_case.features.views for f in view.features}
    broken = [fault for feature in needs.features for fault in _faults(use_case, feature, lost)]
    doubtful = [f"{f} of view {views[f].name}" for f in needs.features if f in views and lost]
    return _reason(name, broken, doubtful, lost)


def _lost(use_case: "UseCase", columns: Mapping[str, str]) -> dict[str, str]:
    """Column that is not what it was -> what became of it."""
    present = {column.name: str(TYPES[column.kind]) for column in use_case.contract.columns}
    return {
        name: f"column {name} is {present.get(name) or 'gone'}, it was {kind}"
        for name, kind in columns.items()
        if present.get(name) != kind
    }


def _faults(use_case: "UseCase", feature: str, lost: Mapping[str, str]) -> list[str]:
    entities = {f.name: [view.entity] for view in use_case.features.views for f in view.features}
    roots = {**columns_of_features(use_case), **entities}.get(feature)
    if roots is None:
        gone = lost.get(feature)
        return [f"{feature} is no feature of {use_case.name} any more{f': {gone}' if gone else ''}"]
    return [f"{feature}: {lost[column]}" for column in roots if column in lost]


def _reason(name: str, broken: list[str], doubtful: list[str], lost: Mapping[str, str]) -> Reason:
    if broken:
        return Reason(metric=name, outcome=Outcome.FAIL, message=f"{name} needs {'; '.join(broken)}")
    if doubtful:
        told = f"{name}: {doubtful[0]} may read what is lost: {'; '.join(lost.values())}"
        return Reason(metric=name, outcome=Outcome.INCONCLUSIVE, message=told)
    return Reason(metric=name, outcome=Outcome.PASS, message=f"{name} finds every column that it needs")
