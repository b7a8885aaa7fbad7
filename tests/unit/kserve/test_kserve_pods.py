"""Settings, keys and a prediction log for pods: what the server is started with, and what no pod can keep."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.errors import ConfigError
from serving.kserve.__main__ import main
from serving.kserve.pods import (
    GRPC_PORT,
    KEYS_FILE,
    PREDICTIONS,
    SETTINGS_FILE,
    PodExtras,
    pod_settings,
    require_secret,
)
from serving.kserve.runtimes import ModelwayRuntime, modelway_runtime
from serving.runtime.redis_server import RedisServer
from serving.runtime.settings import Limits, Settings, read_settings

SAID = {
    "limits": {"max_in_flight": 32, "rate_rps": 50.0},
    "traces": "http://collector:4318/v1/traces",
    "grpc_port": GRPC_PORT,
}


@pytest.fixture
def printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """What the command prints, by kind and name."""

    def run(*more: str) -> dict[str, Any]:
        load_or_create_key(tmp_path)
        told = ["--image", "registry/modelway:1", "--verify-key", str(tmp_path / VERIFY_KEY_FILE)]
        assert main([*told, "--namespace", "models", *more]) == 0
        documents = yaml.safe_load_all(capsys.readouterr().out)
        return {f"{each['kind']} {each['metadata']['name']}": each for each in documents}

    return run


def test_the_server_is_started_with_what_the_pod_mounts(
    printed: Any, tmp_path: Path, crd_errors: Any
) -> None:
    from serving.runtime.__main__ import parse  # noqa: PLC0415 - the server's own reading of its flags

    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(SAID))
    found = printed(
        *("--settings", str(tmp_path / "settings.yaml")),
        *("--keys-secret", "clients", "--predictions-claim", "log"),
    )

    runtime = found["ServingRuntime modelway"]
    container, volumes = runtime["spec"]["containers"][0], runtime["spec"]["volumes"]
    options = parse([*container["args"], "--revision", "paint-v1"])
    assert crd_errors(runtime) == []
    assert (options.settings, options.log_dir) == (SETTINGS_FILE, PREDICTIONS)
    mounted = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert {str(SETTINGS_FILE.parent), str(KEYS_FILE.parent), str(PREDICTIONS)} <= set(mounted)
    assert "readOnly" not in mounted[str(PREDICTIONS)]
    assert {each["name"] for each in volumes} == {mount["name"] for mount in mounted.values()}
    by_name = {each["name"]: each for each in volumes}
    assert by_name["keys"]["secret"] == {"secretName": "clients"}
    assert by_name["predictions"]["persistentVolumeClaim"] == {"claimName": "log"}
    assert [port["containerPort"] for port in container["ports"]] == [8080, GRPC_PORT]
    assert runtime["spec"]["protocolVersions"] == ["v2", "grpc-v2"]

    settings = found[f"ConfigMap {by_name['settings']['configMap']['name']}"]
    (tmp_path / "mounted.yaml").write_text(settings["data"][SETTINGS_FILE.name])
    assert read_settings(tmp_path / "mounted.yaml") == Settings.model_validate(
        SAID | {"keys_file": KEYS_FILE}
    )
    assert settings["metadata"]["namespace"] == "models"


def test_keys_alone_are_settings_too(printed: Any) -> None:
    found = printed("--keys-secret", "clients")

    assert yaml.safe_load(found["ConfigMap modelway-settings"]["data"]["settings.yaml"]) == {
        "keys_file": str(KEYS_FILE)
    }


def test_without_any_a_pod_is_what_it_was(printed: Any) -> None:
    found = printed()
    spec = found["ServingRuntime modelway"]["spec"]

    assert list(found) == [
        "ConfigMap modelway-verify-key",
        "ServingRuntime modelway",
        "Role modelway-rollout",
    ]
    assert not [arg for arg in spec["containers"][0]["args"] if "settings" in arg or "log" in arg]
    assert (len(spec["volumes"]), spec["protocolVersions"]) == (2, ["v2"])


@pytest.mark.parametrize(
    ("said", "name", "remedy"),
    [
        pytest.param({"tls": {"certificate": "c", "key": "k"}}, "tls", "Gateway", id="tls"),
        pytest.param({"jobs": {"file": "/tmp/j"}}, "jobs", "ask-asynchronously", id="jobs"),  # noqa: S108 - a text
        pytest.param(
            {"online_store": "/srv/online.db"}, "online_store", "serve-by-key-on-kserve", id="store"
        ),
        pytest.param(
            {"online_store": {"url": "redis://127.0.0.1"}}, "online_store", "cluster's DNS", id="here"
        ),
        pytest.param(
            {"online_store": {"url": "redis://localhost"}}, "online_store", "cluster's DNS", id="name"
        ),
        pytest.param({"jobs": {"redis": {"url": "redis://[::1]"}}}, "jobs", "cluster's DNS", id="jobs-here"),
        pytest.param({"metrics_need_key": True}, "metrics_need_key", "judge reads", id="metrics"),
        pytest.param({"keys_file": "keys.yaml"}, "keys_file", "--keys-secret", id="keys"),
        pytest.param({"grpc_port": 9001}, "grpc_port", "9000", id="another-port"),
    ],
)
def test_what_no_pod_can_keep_is_refused(
    tmp_path: Path, said: dict[str, Any], name: str, remedy: str
) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(said))

    with pytest.raises(ConfigError, match=f"`{name}`") as caught:
        pod_settings(file)

    assert remedy in caught.value.remedy


def test_every_setting_is_either_for_pods_or_refused() -> None:
    """A new one has to be decided about: silently mounted, it may name a file that no pod has."""
    decided = {"limits", "tls", "keys_file", "metrics_need_key", "grpc_port", "jobs", "online_store"}

    assert set(Settings.model_fields) == decided | {"traces", "access_log"}


def test_a_store_of_the_network_comes_with_its_secret(printed: Any, tmp_path: Path, crd_errors: Any) -> None:
    url = "rediss://${REDIS_USER}:${REDIS_PASSWORD}@cache.data:6379/0?ssl_ca_certs=/etc/modelway-redis/ca.crt"
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"online_store": {"url": url}}))

    found = printed("--settings", str(file), "--redis-secret", "features")

    runtime = found["ServingRuntime modelway"]
    container, volumes = runtime["spec"]["containers"][0], runtime["spec"]["volumes"]
    assert crd_errors(runtime) == []
    assert container["env"] == [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": "features", "key": name}}}
        for name in ("REDIS_USER", "REDIS_PASSWORD")
    ]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volume = next(each for each in volumes if each["name"] == mounts["/etc/modelway-redis"])
    assert volume["secret"] == {
        "secretName": "features", "optional": True, "items": [{"key": "ca.crt", "path": "ca.crt"}],
    }  # fmt: skip
    (tmp_path / "mounted.yaml").write_text(found["ConfigMap modelway-settings"]["data"]["settings.yaml"])
    assert read_settings(tmp_path / "mounted.yaml").online_store == RedisServer(url=url)


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [("redis://:${WORD}@cache", "", "--redis-secret NAME"), ("redis://cache", "features", "no variable")],
)
def test_a_secret_without_a_variable_or_the_other_way_round_is_refused(
    url: str, secret: str, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        require_secret(Settings(online_store=RedisServer(url=url)), secret)

    assert said in str(caught.value)


def test_jobs_in_a_redis_are_for_pods_too(printed: Any, tmp_path: Path) -> None:
    said = {
        "online_store": {"url": "redis://:${WORD}@features"},
        "jobs": {"redis": {"url": "redis://${USER}:${WORD}@jobs"}, "max_queued": 9},
    }
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(said))

    found = printed("--settings", str(tmp_path / "settings.yaml"), "--redis-secret", "both")

    container = found["ServingRuntime modelway"]["spec"]["containers"][0]
    assert [each["name"] for each in container["env"]] == ["WORD", "USER"]
    mounted = yaml.safe_load(found["ConfigMap modelway-settings"]["data"]["settings.yaml"])
    assert Settings.model_validate(mounted) == Settings.model_validate(said)


def test_a_store_without_a_secret_needs_none(printed: Any, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text("online_store: {url: 'redis://cache.data'}")

    container = printed("--settings", str(tmp_path / "settings.yaml"))["ServingRuntime modelway"]["spec"]

    assert "env" not in container["containers"][0]


def test_settings_without_grpc_open_no_second_port() -> None:
    extras = PodExtras(settings=Settings(limits=Limits(max_rows=10)))
    container = modelway_runtime(ModelwayRuntime(image="x:1", extras=extras))["spec"]["containers"][0]

    assert [port["containerPort"] for port in container["ports"]] == [8080]
