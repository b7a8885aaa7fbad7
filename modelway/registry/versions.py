"""MLflow's registered models, seen as the few things we need. The one border to MLflow's registry."""

import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from modelway.contract import Frozen
from modelway.errors import StorageError

LEDGER_TAG = "modelway.ledger"
"""On a registered model: which subject of the audit log is its own, so that a store that was deleted
and made again, or a second stack's, never inherits the decisions on a namesake."""
DIGEST_TAG = "modelway.digest"
ENTRY_TAG = "modelway.entry"
"""On a registered model: id of the newest decision that was shown. A log without it has lost decisions."""


class StoredVersion(Frozen):
    """A model version as MLflow holds it."""

    version: int
    run_id: str
    tags: Mapping[str, str]


class VersionStore:
    """Registered models in one MLflow store. Opening one does nothing; MLflow is imported on use."""

    def __init__(self, tracking_uri: str) -> None:
        """Remember the store.

        Args:
            tracking_uri: MLflow's, e.g. `sqlite:///…/mlflow.db`; the registry is the same store.
        """
        self.tracking_uri = tracking_uri

    @cached_property
    def _client(self) -> Any:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when MLflow is imported
        from mlflow import MlflowClient  # noqa: PLC0415 - seconds, and only a registry call needs it

        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    @contextmanager
    def _mapped(self) -> Iterator[Any]:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        try:
            yield self._client
        except (MlflowException, OSError) as error:
            raise StorageError(
                f"MLflow's registry at {self.tracking_uri}: {str(error).splitlines()[0]}",
                expected="a store that can be read and written",
                remedy="check that the store is there and has space; `modelway doctor` looks at both",
            ) from error

    def ledger_ids(self) -> dict[str, str]:
        """Ledger id of each registered model that is ours, by name, sorted."""
        with self._mapped() as client:
            models = _pages(client.search_registered_models)
        return {m.name: m.tags[LEDGER_TAG] for m in sorted(models, key=_name) if LEDGER_TAG in m.tags}

    def ledger_id(self, name: str) -> str | None:
        """Ledger id of one registered model, None when it is not there or not ours."""
        with self._mapped():
            model = self._model(name)
        return None if model is None else model.tags.get(LEDGER_TAG)

    def ensure(self, name: str, description: str) -> str:
        """The model's ledger id; the registered model is made when missing."""
        with self._mapped() as client:
            model = self._model(name)
            if model is None:
                return _created(client, name, description)
            if LEDGER_TAG not in model.tags:
                client.set_registered_model_tag(name, LEDGER_TAG, uuid.uuid4().hex)
            return str(client.get_registered_model(name).tags[LEDGER_TAG])

    def _model(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

        try:
            return self._client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                return None  # a name that no model can have is no fault of the store
            raise

    def versions(self, name: str) -> tuple[StoredVersion, ...]:
        """All versions, oldest first."""
        with self._mapped() as client:
            quoted = name.replace("'", "''")
            found = _pages(client.search_model_versions, filter_string=f"name='{quoted}'")
        return tuple(sorted(map(_stored, found), key=lambda each: each.version))

    def create(self, name: str, *, source: str, run_id: str, digest: str) -> StoredVersion:
        """A new version; the digest is on it from the first moment, so that a retry finds it."""
        with self._mapped() as client:
            tags = {DIGEST_TAG: digest}
            return _stored(client.create_model_version(name, source=source, run_id=run_id, tags=tags))

    def aliases(self, name: str) -> dict[str, int]:
        """Alias -> version."""
        with self._mapped() as client:
            return {alias: int(v) for alias, v in client.get_registered_model(name).aliases.items()}

    def entry(self, name: str) -> int:
        """Id of the newest decision that was shown here; 0 where none was, or nobody noted it."""
        with self._mapped() as client:
            noted = client.get_registered_model(name).tags.get(ENTRY_TAG, "0")
        return int(noted) if noted.isdecimal() else 0

    def note_entry(self, name: str, entry: int) -> None:
        """Note the newest decision that is shown."""
        with self._mapped() as client:
            client.set_registered_model_tag(name, ENTRY_TAG, str(entry))

    def set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Set tags of one version."""
        with self._mapped() as client:
            for key, value in tags.items():
                client.set_model_version_tag(name, str(version), key, value)

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """Point an alias at a version, or take it away."""
        with self._mapped() as client:
            if version is None:
                client.delete_registered_model_alias(name, alias)
            else:
                client.set_registered_model_alias(name, alias, str(version))


def _name(model: Any) -> str:
    return str(model.name)


def _stored(found: Any) -> StoredVersion:
    return StoredVersion(version=int(found.version), run_id=found.run_id or "", tags=dict(found.tags))


def _created(client: Any, name: str, description: str) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    ledger_id = uuid.uuid4().hex
    try:
        client.create_registered_model(name, tags={LEDGER_TAG: ledger_id}, description=description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        ledger_id = str(client.get_registered_model(name).tags[LEDGER_TAG])  # another process was first
    return ledger_id


def _pages(search: Any, **arguments: Any) -> list[Any]:
    found = search(**arguments)
    everything = list(found)
    while found.token:
        found = search(page_token=found.token, **arguments)
        everything += found
    return everything
