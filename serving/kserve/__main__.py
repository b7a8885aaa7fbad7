"""`python -m serving.kserve`: print, for `kubectl apply -f -`, what a namespace needs before a rollout."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from modelway.bundle.signing import load_verify_key
from modelway.errors import ModelwayError
from serving.kserve.names import require_names
from serving.kserve.pods import PodExtras, pod_settings, require_secret
from serving.kserve.runtimes import (
    ModelwayRuntime,
    TritonRuntime,
    modelway_runtime,
    triton_runtime,
    verify_key_map,
)
from serving.kserve.schema import require_valid
from serving.kserve.spec import Manifest

_ROLE = "modelway-rollout"
_RIGHTS = (
    ("serving.kserve.io", ["inferenceservices"], ["get", "create", "patch"]),
    ("apps", ["deployments"], ["get", "list"]),
    ("gateway.networking.k8s.io", ["httproutes"], ["get"]),
    ("autoscaling", ["horizontalpodautoscalers"], ["get", "list", "delete"]),
    ("", ["pods"], ["list"]),
    ("", ["pods/proxy"], ["get", "create"]),
)
"""All that a rollout's driver does, and nothing more; `create` below `pods/proxy` asks a pod by POST."""


def setup(  # noqa: PLR0913 - one argument an option
    *,
    image: str,
    verify_key: Path,
    namespace: str,
    name: str,
    settings: Path | None = None,
    keys_secret: str = "",
    predictions_claim: str = "",
    redis_secret: str = "",
    triton_image: str = "",
) -> list[Manifest]:
    """ServingRuntime, the public key its pods check bundles with, their settings, and the driver's rights.

    Triton's ServingRuntime beside ours, where its image is named.

    Raises:
        ConfigError: The file is no public key, or the settings are none for pods.
    """
    load_verify_key(verify_key)
    told = {"settings": pod_settings(settings)} if settings else {}
    extras = PodExtras(
        keys_secret=keys_secret, predictions_claim=predictions_claim, redis_secret=redis_secret, **told
    )
    require_secret(extras.settings, redis_secret)
    runtime = modelway_runtime(ModelwayRuntime(image=image, name=name, namespace=namespace, extras=extras))
    require_valid(runtime)
    key = verify_key_map(verify_key.read_text(), namespace)
    triton = [triton_runtime(TritonRuntime(image=triton_image, namespace=namespace))] if triton_image else []
    return [key, *extras.maps(namespace), runtime, *triton, _role(namespace)]


def _role(namespace: str) -> Manifest:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": _ROLE, "namespace": namespace},
        "rules": [
            {"apiGroups": [group], "resources": resources, "verbs": verbs}
            for group, resources, verbs in _RIGHTS
        ],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print them. Exit codes: 0, or 2 where the input cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m serving.kserve", description=__doc__)
    parser.add_argument("--image", required=True, help="the Dockerfile's image, with tag or digest")
    parser.add_argument("--verify-key", type=Path, required=True, help="PEM of the key that signs bundles")
    parser.add_argument("--namespace", default="default", help="where the services run")
    parser.add_argument("--name", default="modelway", help="of the ServingRuntime")
    parser.add_argument("--settings", type=Path, help="YAML of limits, traces and the like, for all pods")
    parser.add_argument("--keys-secret", default="", help="Secret with keys.yaml; clients then need a key")
    parser.add_argument("--predictions-claim", default="", help="volume claim for the prediction log")
    parser.add_argument("--redis-secret", default="", help="Secret with the ${NAME}s of the Redis address")
    parser.add_argument("--triton-image", default="", help="print Triton's ServingRuntime too")
    options = parser.parse_args(argv)
    try:
        require_names(vars(options))
        manifests = setup(**vars(options))
    except ModelwayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the three lines for whoever started us
        return error.exit_code
    print(yaml.safe_dump_all(manifests, sort_keys=False), end="")  # noqa: T201 - what was asked for
    return 0


if __name__ == "__main__":
    sys.exit(main())
