"""What the online store keeps for requests that name only their subject."""

from datetime import datetime, timedelta
from functools import partial

import polars as pl

from modelway.bundle.online import OnlineFeatures, OnlineView
from modelway.contract import DataContract
from modelway.errors import ConfigError
from modelway.features.definitions import FeatureView
from modelway.features.join import TIME
from modelway.features.names import project_name
from modelway.features.values import known_with_the_row
from modelway.usecase import UseCase, serving_policy

SUBJECT = "subject"
"""Name of the view that holds each subject's own row."""
_DAY_S = 86_400


def online_views(use_case: UseCase) -> tuple[FeatureView, ...]:
    """What the online store keeps: the use case's own views and, where asked by key, the subject's row."""
    subject = subject_view(use_case)
    return use_case.features.views if subject is None else (*use_case.features.views, subject)


def subject_view(use_case: UseCase) -> FeatureView | None:
    """The row features by the contract's key, as they were known with the row; None unless asked for.

    Raises:
        ConfigError: A view of the use case has the name already.
    """
    by_key = serving_policy(use_case).by_key
    if by_key is None or by_key.subject_ttl_days is None:
        return None
    if any(view.name == SUBJECT for view in use_case.features.views):
        raise ConfigError(
            f"{use_case.name} has a feature view named {SUBJECT!r}",
            expected="another name: this one is taken for the subject's own row",
            remedy="rename the view, or set `subject_ttl_days` to None",
        )
    return FeatureView(
        name=SUBJECT,
        entity=use_case.contract.key,
        ttl_days=by_key.subject_ttl_days,
        compute=partial(_as_known, contract=use_case.contract),
        features=use_case.features.row,
    )


def recent_enough(view: FeatureView, history: pl.LazyFrame, as_of: datetime) -> pl.LazyFrame:
    """The rows a view is kept from: for subjects only those that are not past their time to live.

    A view of history needs all of it; of subjects there is one row each, for ever.
    """
    if view.name != SUBJECT:
        return history
    return history.filter(pl.col("event_time") >= pl.lit(as_of).cast(TIME) - timedelta(days=view.ttl_days))


def described(use_case: UseCase) -> OnlineFeatures | None:
    """What goes into the bundle so that a server can read the store; None unless asked by key.

    Raises:
        ConfigError: A view is read by a column that no request can carry.
    """
    if serving_policy(use_case).by_key is None:
        return None
    for view in use_case.features.views:
        _require_entity(use_case, view)
    subject, project = subject_view(use_case), project_name(use_case)
    return OnlineFeatures(
        subject=None if subject is None else _online(subject, project),
        views=tuple(_online(view, project) for view in use_case.features.views),
    )


def _as_known(history: pl.LazyFrame, contract: DataContract) -> pl.LazyFrame:
    return known_with_the_row(history, contract)


def _online(view: FeatureView, project: str) -> OnlineView:
    return OnlineView(
        name=view.name,
        table=f"{project}_{view.name}",
        entity=view.entity,
        features=tuple(feature.name for feature in view.features),
        ttl_s=view.ttl_days * _DAY_S,
    )


def _require_entity(use_case: UseCase, view: FeatureView) -> None:
    """A request can name its row: by the contract's key, by an input, or by a column that is only a key."""
    carried = {f.name for f in use_case.features.row if f.kind == "category" and f.sql in {None, f.name}}
    columns = {column.name for column in use_case.contract.columns}
    if view.entity in carried | (columns - set(use_case.features.names)):
        return
    raise ConfigError(
        f"view {view.name} of {use_case.name} is read by {view.entity!r}, which a request cannot name",
        expected="a column of the contract that no other feature takes its name from",
        remedy=f"correct the view's entity, or define {view.entity!r} as the plain category it is",
    )
