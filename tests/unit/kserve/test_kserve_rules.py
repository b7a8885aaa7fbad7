"""What a cluster would refuse or silently ignore. Texts are the webhook's where it has one."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelway.errors import ConfigError
from serving.kserve.rules import problems, require_sound
from serving.kserve.spec import MODE_ANNOTATION

Altered = Callable[..., dict[str, Any]]
RECORDED = Path(__file__).parents[2] / "data" / "kserve" / "recorded" / "canary-lifecycle.txt"
WEBHOOK_TEXTS = set(re.findall(r'validator\\" denied the request: (.*?)","reason"', RECORDED.read_text()))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        pytest.param(
            "spec.canary.0.predictor.name", None, "canary[0] predictor.name is required", id="no-name"
        ),
        pytest.param(
            "spec.predictor.name",
            "r2",
            'canary predictor.name "r2" conflicts with stable predictor name',
            id="same-name",
        ),
        pytest.param(
            "spec.canary.0.predictor.maxReplicas",
            3,
            'canary "r2" must not set maxReplicas (canary uses fixed replicas)',
            id="max-replicas",
        ),
        pytest.param(
            "metadata.annotations",
            {MODE_ANNOTATION: "Knative"},
            "canary is only supported in Standard deployment mode",
            id="knative",
        ),
    ],
)
def test_the_webhooks_refusals_come_before_the_cluster_is_asked(
    shared: dict[str, Any], altered: Altered, path: str, value: object, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        require_sound(altered(shared, path, value))

    assert caught.value.found == said
    as_recorded = {text.replace('\\"', '"') for text in WEBHOOK_TEXTS}
    assert re.sub('"r2"', '"vN"', said) in {re.sub('"v[0-9]"', '"vN"', text) for text in as_recorded}


def test_another_name_needs_another_model(stable: dict[str, Any], altered: Altered) -> None:
    renamed = altered(stable, "spec.predictor.name", "r2")

    with pytest.raises(ConfigError) as caught:
        require_sound(renamed, before=stable)

    assert caught.value.found in WEBHOOK_TEXTS
    require_sound(altered(renamed, "spec.predictor.model.storageUri", "s3://m/2"), before=stable)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        pytest.param("spec.predictor.canaryTrafficPercent", 20, "does nothing", id="knatives-field"),
        pytest.param("spec.transformer", {"containers": [{}]}, "past the transformer", id="transformer"),
        pytest.param(
            "spec.canary.0.predictor.scaleTarget", 70, "scaleTarget, which does nothing", id="scaling"
        ),
        pytest.param(
            "spec.canary.0.predictor.minReplicas", None, "taken from the stable arm", id="no-replicas"
        ),
        pytest.param("spec.canary.0.predictor.model.name", "m", "webhook forbids", id="model-name"),
        pytest.param("spec.canary.0.trafficPercent", 101, r"\[101\]", id="more-than-all"),
        pytest.param("spec.predictor.minReplicas", 1, "subtracts 1 canary replicas", id="no-capacity-left"),
        pytest.param("metadata.name", "p" * 55, "the Deployment would be named", id="too-long"),
    ],
)
def test_what_a_cluster_would_take_and_ignore_is_refused(
    shared: dict[str, Any], altered: Altered, path: str, value: object, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        require_sound(altered(shared, path, value))


def test_two_canaries_share_neither_name_nor_more_than_all(shared: dict[str, Any], altered: Altered) -> None:
    canary = shared["spec"]["canary"][0]
    twice = altered(shared, "spec.canary", [canary, {**canary, "trafficPercent": 96}])

    found = [found for found, _ in problems(twice)]

    assert 'two canaries are named "r2"' in found
    assert "the canaries' trafficPercent are [5, 96]" in found


@pytest.mark.parametrize("mode", ["Standard", "RawDeployment", None])
def test_standard_mode_has_an_old_name_and_is_the_default(
    shared: dict[str, Any], altered: Altered, mode
) -> None:
    annotations = {MODE_ANNOTATION: mode} if mode else {}

    require_sound(altered(shared, "metadata.annotations", annotations))
