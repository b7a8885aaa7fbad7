"""The door to ZenML's store, with its configuration file made safe for many processes at once."""

import os
from functools import cache
from pathlib import Path

import yaml
from zenml.client import Client
from zenml.utils import filesync_model


def client() -> Client:
    """ZenML's client for the active home."""
    install_atomic_config()
    return Client()


@cache
def install_atomic_config() -> None:
    """Replace ZenML's writer of configuration files by one that renames a finished file.

    ZenML 0.98 rewrites the file in place at every start of a client; of 96 processes that started together
    five read it empty and died of `'NoneType' object has no attribute 'update'`.
    """
    filesync_model.FileSyncModel.write_config = _write_config


def _write_config(self: filesync_model.FileSyncModel) -> None:
    path = Path(self._config_file)
    text = yaml.dump(self.model_dump(mode="json"), sort_keys=True)
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        finished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        finished.write_text(text)
        finished.replace(path)
    self._config_file_timestamp = path.stat().st_mtime
