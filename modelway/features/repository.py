"""The Feast repository of a use case, written from its definitions. People may read it, not edit it."""

import json
from collections.abc import Sequence
from pathlib import Path

from modelway.bundle.derived import Derived
from modelway.features.by_key import online_views
from modelway.features.definitions import Feature, FeatureView
from modelway.features.names import identifier, project_name
from modelway.usecase import UseCase

CONFIG_FILE = "feature_store.yaml"
DEFINITIONS_FILE = "definitions.py"
OFFLINE_FOLDER = "offline"
ONLINE_DATABASE = "online.db"

_CONFIG = """\
# Written by modelway from the use case `{name}`; `modelway features materialise {name}` writes it again.
project: {project}
provider: local
registry: registry.db
offline_store:
  type: file
online_store:
{online}
entity_key_serialization_version: 3
"""

_SQLITE = f"""\
  type: modelway.features.online.NewestWinsSqliteOnlineStore  # Feast's own lets old events win
  path: {ONLINE_DATABASE}"""

_REDIS = """\
  type: modelway.features.online_redis.NewestWinsRedisOnlineStore  # Feast's hashes, written a batch a call
  connection_string: {address}"""

_HEAD = '''\
"""Feast definitions of the use case `{name}`. Written by modelway: change the use case, not this file."""

from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, String
'''

_ENTITY = """
{var} = Entity(name={name}, join_keys=[{name}], value_type=ValueType.STRING)
"""

_VIEW = """
{var}_source = FileSource(
    name={source},
    path={path},
    timestamp_field="event_time",
    created_timestamp_column="known_at",
)

{var} = FeatureView(
    name={name},
    entities=[{entity}],
    ttl=timedelta(days={ttl_days}),
    schema=[
        Field(name={entity_name}, dtype=String),
{fields}
    ],
    source={var}_source,
{tags})
"""

_TYPES = {"numeric": "Float32", "category": "String"}


def offline_file(view: FeatureView) -> str:
    """Where the view's published rows lie, relative to the repository."""
    return f"{OFFLINE_FOLDER}/{identifier(view.name)}.parquet"


def config_text(use_case: UseCase, redis: str | None = None) -> str:
    """`feature_store.yaml`; online values go to SQLite beside it, or to the Redis at that address."""
    online = _SQLITE if redis is None else _REDIS.format(address=_quoted(redis))
    return _CONFIG.format(name=use_case.name, project=project_name(use_case), online=online)


def definitions_text(use_case: UseCase) -> str:
    """`definitions.py`: entities, file sources and feature views."""
    views, derived = online_views(use_case), use_case.features.derived
    entities = sorted({view.entity for view in views})
    parts = [_HEAD.format(name=use_case.name)]
    parts += [_ENTITY.format(var=_entity_variable(name), name=_quoted(name)) for name in entities]
    parts += [_view_text(view, derived) for view in views]
    return "".join(parts)


def write_repository(use_case: UseCase, folder: Path, redis: str | None = None) -> None:
    """Write both files; what Feast adds (registry, online store) stays as it is."""
    (folder / OFFLINE_FOLDER).mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text(config_text(use_case, redis))
    (folder / DEFINITIONS_FILE).write_text(definitions_text(use_case))


def _view_text(view: FeatureView, derived: Sequence[Derived]) -> str:
    return _VIEW.format(
        var=identifier(view.name),
        name=_quoted(view.name),
        source=_quoted(f"{view.name}_source"),
        path=_quoted(offline_file(view)),
        entity=_entity_variable(view.entity),
        entity_name=_quoted(view.entity),
        ttl_days=view.ttl_days,
        fields="\n".join(_field_text(feature) for feature in view.features),
        tags=_tags_text(view, derived),
    )


def _tags_text(view: FeatureView, derived: Sequence[Derived]) -> str:
    """What models compute from the view's features: Feast keeps no value of it, but its catalogue says so."""
    names = {feature.name for feature in view.features}
    tags = {f"derived.{each.name}": each.formula for each in derived if names & set(each.of)}
    return f"    tags={json.dumps(tags)},\n" if tags else ""


def _field_text(feature: Feature) -> str:
    parts = [f"name={_quoted(feature.name)}", f"dtype={_TYPES[feature.kind]}"]
    parts += [f"description={_quoted(feature.description)}"] if feature.description else []
    parts += [f'tags={{"unit": {_quoted(feature.unit)}}}'] if feature.unit else []
    lines = "".join(f"            {part},\n" for part in parts)
    return f"        Field(\n{lines}        ),"


def _quoted(text: str) -> str:
    """A Python literal in double quotes: JSON's strings are Python's."""
    return json.dumps(text)


def _entity_variable(name: str) -> str:
    return f"{identifier(name)}_entity"
