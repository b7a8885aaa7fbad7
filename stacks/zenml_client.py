"""The door to ZenML's store, with its configuration file made safe for many processes at once.

ZenML 0.98 rewrites `config.yaml` in place, several times while a process starts, from what that process had
read. Of 96 processes that started together five read it half-written and died; and a `zenml stack set` that
falls into another process's start is undone by it. Here the file is renamed into place, only when something
changed, and a process writes the active stack only if it was the one to change it.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from zenml.client import Client
from zenml.config.global_config import GlobalConfiguration
from zenml.utils import yaml_utils

ACTIVE = "active_stack_id"

_last_known: dict[Path, str | None] = {}
"""The active stack as this process last read or wrote it."""


def client() -> Client:
    """ZenML's client for the active home."""
    make_config_safe()
    return Client()


def follow_switch() -> None:
    """Take over a `zenml stack set` that another process did since this one read the configuration."""
    make_config_safe()
    path = _config_path()
    stored = _read(path).get(ACTIVE)
    if stored and stored != _last_known.get(path):
        _last_known[path] = stored
        Client().activate_stack(stored)


@cache
def make_config_safe() -> None:
    """Replace ZenML's writer of configuration files by ours, once per process."""
    active = GlobalConfiguration().active_stack_id
    _last_known[_config_path()] = str(active) if active else None
    yaml_utils.write_yaml = _write


def _config_path() -> Path:
    return Path(GlobalConfiguration().config_directory) / "config.yaml"


def _write(file_path: str, contents: Any, sort_keys: bool = True) -> None:
    path = Path(file_path)
    if path in _last_known:
        contents = _with_active_stack(path, contents)
    text = yaml.dump(contents, sort_keys=sort_keys)
    if not path.exists() or path.read_text() != text:
        finished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        finished.write_text(text)
        finished.replace(path)


def _with_active_stack(path: Path, contents: dict[str, Any]) -> dict[str, Any]:
    stored = _read(path).get(ACTIVE)
    if stored and contents.get(ACTIVE) == _last_known[path]:
        contents = {**contents, ACTIVE: stored}
    else:
        _last_known[path] = contents.get(ACTIVE)
    return contents


def _read(path: Path) -> dict[str, Any]:
    """The stored configuration; empty while another process's writer has just emptied the file."""
    try:
        return yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        return {}
