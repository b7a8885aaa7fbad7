"""How a source is named in a manifest: without this machine's folders, and without anybody's password."""

import hashlib
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


def described(source: str) -> str:
    """A source as it may be kept: files by name and content, URLs without credentials.

    Args:
        source: An address as `modelway.data.reading` reads it; `${NAME}` stays as it is.
    """
    if source.startswith("delta://"):
        return _delta(source)
    if "://" in source:
        return _without_credentials(source)
    path = Path(source)
    if not path.is_file():
        return path.name if path.is_dir() else source
    with path.open("rb") as file:
        return f"{path.name} sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _without_credentials(address: str) -> str:
    base, mark, rest = address.partition("#")
    parts = urlsplit(base)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host, query="")) + mark + rest


def _delta(address: str) -> str:
    """With the version that is read, also where the address asks for the newest."""
    from modelway.data.delta import located, newest_version  # noqa: PLC0415 - only Delta tables need it

    place, version = located(address)
    number = newest_version(place) if version is None else version
    return f"delta {Path(place).name} version {number}"
