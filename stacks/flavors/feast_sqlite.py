"""Feature store flavor `feast_sqlite`: a Feast repository and a SQLite online store below one folder.

ZenML's own Feast flavor imports Feast (4 s, 370 MB) in every process that opens the
stack, and asks for Redis.
"""

from typing import Any, NoReturn

from zenml.feature_stores.base_feature_store import (
    BaseFeatureStore,
    BaseFeatureStoreConfig,
    BaseFeatureStoreFlavor,
)


class FeastSqliteConfig(BaseFeatureStoreConfig):
    """Where the repository and its databases live."""

    root: str

    @property
    def is_local(self) -> bool:
        """Files on this machine."""
        return True


class FeastSqlite(BaseFeatureStore):
    """Names the feature store; `stacks.active.feature_store` opens it."""

    @property
    def config(self) -> FeastSqliteConfig:
        """The component's settings."""
        return self._config  # type: ignore[no-any-return]  # ZenML is untyped

    def get_historical_features(self, *_args: Any, **_options: Any) -> NoReturn:
        """Not offered: Feast joins on one clock only, and drops rows."""
        raise NotImplementedError("training sets come from modelway.features, as of a date on both clocks")

    def get_online_features(self, *_args: Any, **_options: Any) -> NoReturn:
        """Not offered: reads go through our store, which enforces the time to live."""
        raise NotImplementedError("read online features through stacks.active.feature_store()")


class FeastSqliteFlavor(BaseFeatureStoreFlavor):
    """Registers the feature store with ZenML under the name `feast_sqlite`."""

    @property
    def name(self) -> str:
        """Name in stack files."""
        return "feast_sqlite"

    @property
    def config_class(self) -> type[FeastSqliteConfig]:
        """Its settings."""
        return FeastSqliteConfig

    @property
    def implementation_class(self) -> type[FeastSqlite]:
        """The component's class."""
        return FeastSqlite
