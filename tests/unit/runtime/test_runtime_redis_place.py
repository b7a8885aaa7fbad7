"""Addresses of a Redis: what they may say, where secrets come from, and that no message holds one."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from modelway.errors import ConfigError
from serving.runtime.redis_server import RedisServer, redis_client
from serving.runtime.settings import read_settings


def told(url: str) -> dict[str, object]:
    """What the client was given."""
    client = redis_client(RedisServer(url=url), 3)
    return dict(client.connection_pool.connection_kwargs)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://cache:6379", "no address"),
        ("redis://", "no address"),
        ("redis://cache/one", "no number"),
        ("redis://:secret@cache", "a password is written"),
        ("redis://me:sec${X}ret@cache", "a password is written"),
        ("rediss://cache?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("rediss://cache?socket_timeout=900", "socket_timeout"),
        ("redis://cache?ssl_ca_certs=ca.crt", "without rediss"),
        ("redis://cache:99999", "port"),
    ],
)
def test_what_is_no_address_or_weakens_one_is_refused(url: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RedisServer(url=url)

    message = str(caught.value.errors()[0]["msg"])
    assert said.lower() in message.lower()
    assert "secret" not in message


def test_the_environment_says_the_password_or_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "p@ss/%41")
    monkeypatch.setenv("WHOLE", "rediss://me:p%40ss@cache.example:7000/3?ssl_ca_certs=/etc/ca.crt")

    by_password, whole = told("redis://${WORD}:${WORD}@cache/2"), told("${WHOLE}")

    assert {name: by_password[name] for name in ("host", "port", "db", "username", "password")} == {
        "host": "cache", "port": 6379, "db": 2, "username": "p@ss/%41", "password": "p@ss/%41",
    }  # fmt: skip
    assert (whole["host"], whole["port"], whole["db"], whole["password"]) == (
        "cache.example",
        7000,
        3,
        "p@ss",
    )
    assert whole["ssl_ca_certs"] == "/etc/ca.crt"
    assert (by_password["socket_timeout"], by_password["socket_connect_timeout"]) == (0.25, 1.0)
    assert RedisServer(url="redis://${A}:${B}@cache").variables == ("A", "B")


def test_a_variable_that_is_not_there_or_says_nonsense_ends_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("WORD", raising=False)
    with pytest.raises(ConfigError, match="`WORD`"):
        told("redis://:${WORD}@cache")
    monkeypatch.setenv("WORD", "http://user:secret@cache")
    with pytest.raises(ConfigError, match="WORD") as caught:
        told("${WORD}")
    assert "secret" not in str(caught.value)


def test_settings_take_a_file_or_a_server(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("online_store: {url: 'rediss://cache', timeout_ms: 40}")
    assert read_settings(file).online_store == RedisServer(url="rediss://cache", timeout_ms=40)
    file.write_text("online_store: /srv/online.db")
    assert read_settings(file).online_store == Path("/srv/online.db")
    file.write_text("online_store: {url: 'redis://:secret@cache'}")
    with pytest.raises(ConfigError, match="password is written") as caught:
        read_settings(file)
    assert "secret" not in str(caught.value)
