"""The one place that speaks to Feast: opening a repository, reading it, mapping its errors.

Feast is imported inside: it takes 4 s and 370 MB, and only materialising and online reads need it.
"""

import os
import runpy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelway.errors import ModelwayError, NotFoundError, StorageError
from modelway.features.definitions import FeatureView
from modelway.features.repository import CONFIG_FILE, DEFINITIONS_FILE
from modelway.usecase import UseCase


def open_feast(use_case: UseCase, folder: Path) -> Any:
    """Feast's own store object over the use case's repository.

    Raises:
        NotFoundError: Nothing was ever applied there.
    """
    if not (folder / CONFIG_FILE).is_file():
        raise NotFoundError(
            f"{use_case.name} has no feature store in {folder}",
            expected="a materialised use case",
            remedy=f"run `modelway features materialise {use_case.name} --as-of DATE`",
        )
    os.environ.setdefault("FEAST_USAGE", "False")
    from feast import FeatureStore as Feast  # noqa: PLC0415 - 4 s and 370 MB, only for whoever needs it

    return Feast(repo_path=str(folder.resolve()))


def definitions(folder: Path) -> list[Any]:
    """What the generated file defines: the file people read is the file that counts."""
    from feast import Entity, FeatureView, FileSource  # noqa: PLC0415 - as above

    defined = runpy.run_path(str(folder / DEFINITIONS_FILE)).values()
    return [thing for thing in defined if isinstance(thing, Entity | FeatureView | FileSource)]


def read_chunk(feast: Any, view: FeatureView, values: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Entity, both clocks, features; None where there is no value.

    Feast's answer leaves out when a value became known. Where its store does not say either, because it is
    one of Feast's own, the value was known when it happened.
    """
    names = [feature.name for feature in view.features]
    answer = feast.get_online_features(
        features=[f"{view.name}:{name}" for name in names],
        entity_rows=[{view.entity: value} for value in values],
    )
    columns, stamps = answer.to_dict(), list(_event_times(answer, names[0]))
    ask = getattr(feast.provider.online_store, "known_times", None)
    known = ask(feast.config, feast.get_feature_view(view.name), values) if ask else {}
    clocks = (known.get(value, stamp) for value, stamp in zip(values, stamps, strict=True))
    yield from zip(values, stamps, clocks, *(columns[name] for name in names), strict=True)


def _event_times(answer: Any, feature: str) -> Iterable[datetime | None]:
    """All values of an entity are written together, so that one feature's time is that of each."""
    place = list(answer.proto.metadata.feature_names.val).index(feature)
    stamps = answer.proto.results[place].event_timestamps
    return (stamp.ToDatetime(tzinfo=UTC) if stamp.ToMicroseconds() else None for stamp in stamps)


@contextmanager
def feast_errors(doing: str) -> Iterator[None]:
    """The one border at which Feast's and the disk's errors become ours."""
    try:
        yield
    except ModelwayError:
        raise
    except Exception as error:
        raise StorageError(
            f"{doing} failed: {type(error).__name__}: {error}",
            expected="a writable folder with a Feast repository that modelway wrote; its Redis, if any, up",
            remedy="free disk space, start the Redis, or delete the folder and materialise again",
        ) from error
