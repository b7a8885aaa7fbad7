"""Where a server finds the online features of the active stack's feature store, as its settings say it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from pydantic import ValidationError

from modelway.errors import ConfigError

if TYPE_CHECKING:
    from modelway.features.store import FeatureStore
    from modelway.usecase import UseCase

_CREDENTIALS = ("username", "password")
_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_READ = frozenset({"db", "ssl", *_CREDENTIALS, *_FILES})


def online_place(store: "FeatureStore", use_case: "UseCase") -> str | Mapping[str, str] | None:
    """The value of `online_store`: a file, or a Redis for use cases that are asked by key; None without any.

    Raises:
        ConfigError: The address of the Redis says what a server is not told.
    """
    from modelway.features.repository import CONFIG_FILE  # noqa: PLC0415 - see stacks/active.py
    from modelway.usecase import serving_policy  # noqa: PLC0415 - as above

    if store.redis is None:
        file = store.online_file(use_case)
        return str(file.resolve()) if file.is_file() else None
    applied = (Path(store.folder(use_case)) / CONFIG_FILE).is_file()
    if not applied or serving_policy(use_case).by_key is None:
        return None
    return {"url": redis_url(store.redis)}


def redis_url(address: str) -> str:
    """Feast's connection string as a server's URL; `${NAME}` stays, to be read where the server starts.

    Args:
        address: `host:port,db=0,ssl=true,password=${NAME}`.

    Raises:
        ConfigError: It names more than one host, an option that servers have not, or a password itself.
    """
    from serving.runtime.redis_server import RedisServer  # noqa: PLC0415 - see stacks/active.py

    parts = address.split(",")
    hosts = [part for part in parts if "=" not in part]
    options = {
        name: _plain(value) for name, _, value in (part.partition("=") for part in parts if "=" in part)
    }
    unknown = sorted(options.keys() - _READ)
    if len(hosts) != 1 or hosts[0].startswith("$") or unknown:
        what = f"with {', '.join(unknown)}" if unknown else f"with {len(hosts)} hosts, or one in a variable"
        raise _untold(what)
    try:
        return RedisServer(url=_written(hosts[0], options)).url
    except ValidationError as error:
        raise _untold(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


def _written(host: str, options: Mapping[str, Any]) -> str:
    scheme = "rediss" if options.get("ssl") is True else "redis"
    user, password = (str(options.get(name, "")) for name in _CREDENTIALS)
    who = f"{user}{':' if password else ''}{password}@" if user or password else ""
    files = urlencode({name: options[name] for name in _FILES if name in options}, safe="/")
    return f"{scheme}://{who}{host}/{options.get('db', 0)}" + (f"?{files}" if files else "")


def _plain(text: str) -> Any:
    """An option's value as Feast reads it: JSON where it is JSON."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _untold(what: str) -> ConfigError:
    return ConfigError(
        f"the feature store's `redis` cannot be told to servers: {what}",
        expected=f"one host:port and of: {', '.join(sorted(_READ))}; user and password as $${{NAME}}",
        remedy="correct the stack file, or write the gateway's settings.yaml yourself",
    )
