"""A cluster's settings out of a stack file, and what a namespace is given before the first rollout."""

from pathlib import Path

import pytest
import yaml

from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.errors import ConfigError
from modelway.home import Home
from serving.kserve.__main__ import main
from serving.kserve.settings import KServeSettings
from serving.kserve.spec import Mode
from serving.rollout.kserve import KServeTarget
from serving.rollout.target import Revision
from stacks.cluster import kserve_target, whole_object
from stacks.flavors.kserve import KServeConfig, KServeFlavor
from stacks.spec import read_stack

STACK = read_stack("kubernetes", Home(Path("/srv/modelway")))


def config(**changes: object) -> dict[str, object]:
    return {"root": "/srv/serving", "storage": "s3://models/a", **changes}


def test_the_shipped_stack_is_read_by_flavor_and_target_alike():
    deployer = STACK.components.present()["model_deployer"]

    assert (deployer.flavor, KServeFlavor().name) == ("kserve", "kserve")
    assert set(KServeConfig.model_fields) >= set(KServeSettings.model_fields)
    settings = KServeSettings.of(KServeConfig(**deployer.config).model_dump(include=set(deployer.config)))
    assert settings.root == "/srv/modelway/stacks/kubernetes/serving"
    service = settings.service_of("credit")
    assert (service.namespace, service.mode, service.scaling.max_replicas) == ("models", Mode.STANDARD, 8)
    assert not KServeConfig(**deployer.config).is_local


@pytest.mark.parametrize("url", ["", "https://models.example.com", "http://10.0.0.7:8080/models"])
def test_an_address_of_a_gateway_is_taken(url: str):
    assert KServeSettings.of(config(gateway_url=url)).gateway_url == url


def test_a_target_is_made_without_asking_the_cluster(tmp_path: Path):
    target = kserve_target(config(root=str(tmp_path)), "credit", bundles=tmp_path)

    assert isinstance(target, KServeTarget)
    assert target.root == tmp_path
    with pytest.raises(ConfigError, match="not collected"):
        _ = target.prediction_log_folder


def test_the_service_may_stand_in_the_settings_and_must_stand_somewhere(tmp_path: Path):
    assert kserve_target(config(service="credit"), None, bundles=tmp_path)
    with pytest.raises(ConfigError, match="which service"):
        kserve_target(config(), None, bundles=tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        pytest.param({"namepsace": "x"}, "`namepsace`", id="misspelt"),
        pytest.param({"storage": "/mnt/models"}, "`storage`", id="storage-that-is-no-url"),
        pytest.param({"mode": "Raw"}, "`mode`", id="unknown-mode"),
        pytest.param({"max_replicas": -1}, "`max_replicas`", id="negative"),
        pytest.param({"gateway_url": "gateway.example.com"}, "`gateway_url`", id="address-without-scheme"),
        pytest.param({"gateway_url": "http://"}, "`gateway_url`", id="address-without-host"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, object], said: str):
    with pytest.raises(ConfigError, match=said):
        KServeSettings.of(config(**changes))


def test_a_namespace_may_begin_with_a_digit():
    assert KServeSettings.of(config(namespace="7days")).service_of("credit").namespace == "7days"


@pytest.mark.parametrize("name", ["iris_quality", "Credit", "7days", "c" * 41])
def test_a_name_that_kubernetes_would_not_take_is_refused(name: str):
    with pytest.raises(ConfigError, match="lower-case"):
        KServeSettings.of(config()).service_of(name)


def test_knative_mode_is_refused_where_the_target_is_made(tmp_path: Path):
    with pytest.raises(ConfigError, match="Knative"):
        kserve_target(config(mode="Knative"), "credit", bundles=tmp_path)


def test_what_a_namespace_needs_is_printed_for_kubectl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], crd_errors
):
    load_or_create_key(tmp_path)
    key = tmp_path / VERIFY_KEY_FILE

    told = ["--image", "registry/modelway:1", "--verify-key", str(key), "--namespace", "models"]
    code = main([*told, "--triton-image", "registry/triton:25.08"])

    key_map, runtime, triton, role = yaml.safe_load_all(capsys.readouterr().out)
    assert code == 0
    assert key_map["data"]["verify.pem"] == key.read_text()
    assert crd_errors(runtime) == crd_errors(triton) == []
    assert triton["spec"]["containers"][0]["image"] == "registry/triton:25.08"
    assert {each["metadata"]["namespace"] for each in (key_map, runtime, triton, role)} == {"models"}
    assert all("*" not in [*rule["verbs"], *rule["resources"]] for rule in role["rules"])


@pytest.mark.parametrize("mode", Mode)
def test_the_whole_object_can_be_printed_without_a_cluster(mode: Mode, tmp_path: Path, crd_errors):
    revision = Revision(id="paint-v3", bundle=tmp_path, digest="a" * 64, verify_key=tmp_path / "key.pem")

    found = whole_object(config(mode=mode.value), revision, replicas=2)

    assert crd_errors(found) == []
    assert found["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == mode.value
    predictor = found["spec"]["predictor"]
    assert predictor["model"]["storageUri"] == f"s3://models/a/paint/{revision.digest}"
    assert (predictor["minReplicas"], predictor["labels"]) == (2, {"modelway-revision": "paint-v3"})
    assert "canary" not in found["spec"]
    with pytest.raises(ConfigError, match="no_name"):
        whole_object(config(), revision.model_copy(update={"id": "no_name-v1"}), replicas=1)


def test_a_private_key_is_never_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    load_or_create_key(tmp_path)

    code = main(["--image", "x:1", "--verify-key", str(tmp_path / "signing.pem")])

    assert code == 2
    assert capsys.readouterr().out == ""
