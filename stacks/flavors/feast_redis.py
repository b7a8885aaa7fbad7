"""Feature store flavor `feast_redis`: a Feast repository below a folder, online values in Redis or Valkey.

`modelway features materialise` writes them in Feast's layout; `feast_sqlite` says what ZenML's flavor lacks.
"""

from zenml.feature_stores.base_feature_store import BaseFeatureStoreFlavor

from stacks.flavors.feast_sqlite import FeastSqlite, FeastSqliteConfig


class FeastRedisConfig(FeastSqliteConfig):
    """Where the repository lives, and the server."""

    redis: str
    """`host:port,db=0,…`, as Feast spells it; `${NAME}` is read from the environment when it is opened."""

    @property
    def is_local(self) -> bool:
        """The repository is a folder here; the values may be anywhere."""
        return False


class FeastRedis(FeastSqlite):
    """Names the feature store; `stacks.active.feature_store` opens it."""

    @property
    def config(self) -> FeastRedisConfig:
        """The component's settings."""
        return self._config  # type: ignore[no-any-return]  # ZenML is untyped


class FeastRedisFlavor(BaseFeatureStoreFlavor):
    """Registers the feature store with ZenML under the name `feast_redis`."""

    @property
    def name(self) -> str:
        """Name in stack files."""
        return "feast_redis"

    @property
    def config_class(self) -> type[FeastRedisConfig]:
        """Its settings."""
        return FeastRedisConfig

    @property
    def implementation_class(self) -> type[FeastRedis]:
        """The component's class."""
        return FeastRedis
