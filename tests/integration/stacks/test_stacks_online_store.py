"""Replicas of the local gateway are told where online features lie, and nobody's own settings are touched."""

from pathlib import Path

import pytest

from modelway.errors import ConfigError
from modelway.features.store import FeatureStore
from modelway.usecase import load_use_case
from serving.gateway.desired import Layout
from serving.gateway.replica import runtime_command
from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision
from serving.runtime.redis_server import RedisServer
from serving.runtime.settings import read_settings
from stacks.online_place import redis_url


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    """The active stack's feature store, below the test's folder."""
    from stacks import active  # noqa: PLC0415 - ZenML, only when a test runs

    store = FeatureStore(tmp_path / "features")
    monkeypatch.setattr(active, "feature_store", lambda: store)
    return store


def offer(root: Path) -> Path:
    from stacks.active import offer_online_store  # noqa: PLC0415 - as above

    offer_online_store("credit", root)
    return root / "settings.yaml"


def materialised(features: FeatureStore) -> Path:
    online = features.online_file(load_use_case("credit"))
    online.parent.mkdir(parents=True)
    online.touch()
    return online


def test_replicas_are_told_of_a_store_once_it_is_there(features: FeatureStore, tmp_path: Path) -> None:
    root = tmp_path / "serving"
    assert not offer(root).exists()
    online = materialised(features)

    settings = offer(root)

    assert read_settings(settings).online_store == online
    revision = Revision(id="r1", bundle=tmp_path, digest="0" * 64, verify_key=tmp_path / "key.pem")
    LocalTarget(root).deploy(revision, replicas=1)
    spec = Layout(root).read_desired().revisions["r1"]
    command = runtime_command("serving.runtime", "r1", spec, port=1, predictions=tmp_path)
    assert command[-2:] == ["--settings", str(settings)]


def test_a_store_that_is_gone_is_named_no_more(features: FeatureStore, tmp_path: Path) -> None:
    online, root = materialised(features), tmp_path / "serving"
    offer(root)
    online.unlink()

    assert not offer(root).exists()


def test_settings_of_somebodys_own_stay(features: FeatureStore, tmp_path: Path) -> None:
    materialised(features)
    root = tmp_path / "serving"
    root.mkdir()
    own = root / "settings.yaml"
    own.write_text("limits: {max_rows: 10}\n")

    assert offer(root).read_text() == "limits: {max_rows: 10}\n"


def test_replicas_are_told_of_a_redis_and_of_no_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stacks import active  # noqa: PLC0415 - as above

    store = FeatureStore(
        tmp_path / "features", redis="cache:6380,db=2,ssl=true,username=me,password=${REDIS_PASSWORD}"
    )
    monkeypatch.setattr(active, "feature_store", lambda: store)
    root = tmp_path / "serving"
    assert not offer(root).exists()
    folder = store.folder(load_use_case("credit"))
    folder.mkdir(parents=True)
    (folder / "feature_store.yaml").touch()

    settings = read_settings(offer(root))

    assert settings.online_store == RedisServer(url="rediss://me:${REDIS_PASSWORD}@cache:6380/2")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("cache:6379", "redis://cache:6379/0"),
        ("cache:6379,db=3,password=${A}", "redis://:${A}@cache:6379/3"),
        ("cache:6379,ssl=true,ssl_ca_certs=/etc/ca.crt", "rediss://cache:6379/0?ssl_ca_certs=/etc/ca.crt"),
        ("cache:6379,ssl=false", "redis://cache:6379/0"),
    ],
)
def test_feasts_address_becomes_a_servers(address: str, url: str) -> None:
    assert redis_url(address) == url


@pytest.mark.parametrize(
    "address",
    [
        "cache:6379,password=secret",
        "one:6379,two:6379",
        "${WHERE}",
        "cache:6379,socket_timeout=3",
        "cache:6379,ssl=true,ssl_cert_reqs=none",
    ],
)
def test_an_address_that_servers_cannot_be_told_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="cannot be told") as caught:
        redis_url(address)

    assert "secret" not in str(caught.value)
