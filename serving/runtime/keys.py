"""Who may ask: API keys, of which the server knows only the hashes.

`python -m serving.runtime.keys new NAME --file keys.yaml` prints a key once and stores its hash. The file is
read again when it changes; one that cannot be used leaves the keys as they were. Several keys may be valid at
once, so that one can replace another without a moment in which neither works.
"""

import argparse
import hashlib
import hmac
import os
import secrets
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import yaml
from pydantic import AwareDatetime, Field, ValidationError

from modelway.contract import Frozen, finding
from modelway.errors import ConfigError, ModelwayError
from serving.runtime.exposition import Family
from serving.runtime.journal import journal

_LOOK_EVERY_S = 1.0
_KEY_BYTES = 32


class ApiKey(Frozen):
    """One key, as the server knows it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """Of whom it is; several keys may have the same, which is how one replaces another."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the key's UTF-8. Keys are random and long: nothing slower than a hash is needed."""
    expires: AwareDatetime | None = None
    models: tuple[str, ...] | None = None
    """Models that it may ask; None for all. With a list it may not load and unload either."""


class _File(Frozen):
    keys: tuple[ApiKey, ...] = ()


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Read a keys file.

    Raises:
        ConfigError: It cannot be read, or says what it may not. No key is in the message.
    """
    try:
        return _File.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {}).keys
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", expected="a YAML file of keys", remedy="see `keys new`"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no YAML", expected="`keys:` and a list below it") from error
    except ValidationError as error:
        raise ConfigError(
            f"{path}: {finding(error.errors()[0])}",
            expected="`keys:` and a list of name, sha256, and perhaps expires and models",
            remedy="make entries with `python -m serving.runtime.keys new NAME`",
        ) from error


class Keys:
    """The keys of a file, followed while it changes."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        now_s: Callable[[], float] = monotonic,
    ) -> None:
        """Read them.

        Args:
            path: The file.
            now: The time of day, for keys that expire.
            now_s: A clock that never runs backwards, for looking at the file again.

        Raises:
            ConfigError: It cannot be used.
        """
        self._path, self._now, self._now_s = path, now, now_s
        self._seen = _state(path)
        self._hashes = _hashes(read_keys(path))
        self._looked_s = now_s()
        self._lock = threading.Lock()
        self._loads = {"ok": 1, "failed": 0}

    def find(self, presented: str) -> ApiKey | None:
        """The key that was presented, if it is one and has not expired."""
        self._follow()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        found = None
        for known, key in self._hashes:  # to the end, so that time says nothing about where it was found
            if hmac.compare_digest(known, digest):
                found = key
        if found is None or (found.expires is not None and found.expires <= self._now()):
            return None
        return found

    def families(self) -> Iterable[Family]:
        """How many there are, and how often the file was read."""
        name = "modelway_keys_loads_total"
        samples = [f'{name}{{result="{result}"}} {count}' for result, count in self._loads.items()]
        yield Family(name, "counter", "How often the keys were read again, by result.", samples)
        count = f'modelway_keys{{file="{self._path.name}"}} {len(self._hashes)}'
        yield Family("modelway_keys", "gauge", "Keys that are known, expired ones too.", [count])

    def _follow(self) -> None:
        """Read the file again if it changed; whoever comes meanwhile is held against the old keys."""
        if self._now_s() - self._looked_s < _LOOK_EVERY_S or not self._lock.acquire(blocking=False):
            return
        try:
            self._looked_s = self._now_s()
            state = _state(self._path)
            if state != self._seen:
                self._seen = state
                self._read_again()
        finally:
            self._lock.release()

    def _read_again(self) -> None:
        try:
            self._hashes = _hashes(read_keys(self._path))
        except ConfigError as error:
            self._loads["failed"] += 1
            journal("keys_not_read", error=str(error).splitlines()[0], kept=len(self._hashes))
            return
        self._loads["ok"] += 1
        journal("keys_read", keys=len(self._hashes))


def _hashes(keys: Iterable[ApiKey]) -> Sequence[tuple[bytes, ApiKey]]:
    return [(bytes.fromhex(key.sha256), key) for key in keys]


def _state(path: Path) -> tuple[int, int, int] | None:
    """What tells one version of a file from the next."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def new_key(path: Path, name: str, *, days: float | None, models: Sequence[str]) -> str:
    """Make a key, add its hash to the file, and return it: it is nowhere else.

    Raises:
        ConfigError: The file is none, or the name cannot be used.
    """
    key = f"mw_{secrets.token_urlsafe(_KEY_BYTES)}"
    expires = None if days is None else datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)
    known = read_keys(path) if path.exists() else ()
    try:
        sha256 = hashlib.sha256(key.encode()).hexdigest()
        entry = ApiKey(name=name, sha256=sha256, expires=expires, models=tuple(models) or None)
    except ValidationError as error:
        raise ConfigError(
            f"the name {name!r}", expected="letters, digits, dot, dash and underscore, at most 63"
        ) from error
    _write(path, (*known, entry))
    return key


def revoke(path: Path, name: str) -> int:
    """Remove all keys of a name and say how many there were.

    Raises:
        ConfigError: The file is none.
    """
    known = read_keys(path)
    kept = tuple(key for key in known if key.name != name)
    _write(path, kept)
    return len(known) - len(kept)


def _write(path: Path, keys: Sequence[ApiKey]) -> None:
    """Replace the file whole: a server that reads it now reads the old one or the new one."""
    document = {"keys": [key.model_dump(mode="json", exclude_none=True) for key in keys]}
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            yaml.safe_dump(document, file, sort_keys=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Make and revoke keys. Exit codes: 0, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m serving.runtime.keys", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    new = verbs.add_parser("new", help="print a new key once and store its hash")
    new.add_argument("--days", type=float, help="valid for so long; for ever without it")
    new.add_argument("--model", action="append", default=[], help="may ask only this model; may be repeated")
    for verb in (new, verbs.add_parser("revoke", help="remove all keys of a name")):
        verb.add_argument("name")
        verb.add_argument("--file", type=Path, required=True, help="the keys file that the settings name")
    options = parser.parse_args(argv)
    try:
        if options.verb == "new":
            said = new_key(options.file, options.name, days=options.days, models=options.model)
        else:
            said = f"{revoke(options.file, options.name)} removed"
    except ModelwayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command says what went wrong
        return error.exit_code
    print(said)  # noqa: T201 - the one time that the key is to be seen
    return 0


if __name__ == "__main__":
    sys.exit(main())
