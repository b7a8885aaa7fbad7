"""The little of the Kubernetes API that a rollout needs. The official client's errors end here."""

import json
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

from modelway.errors import (
    ConfigError,
    ConflictError,
    InfrastructureError,
    ModelwayError,
    NotRunningError,
    TransientError,
)
from serving.kserve.spec import Manifest

Operation = dict[str, Any]
"""One step of a JSON patch, RFC 6902."""
_Answer = TypeVar("_Answer")
_JSON_PATCH = "application/json-patch+json"
_REQUEST_TIMEOUT_S = 10.0
_ATTEMPTS = 3
_PAUSE_S = 0.2
_TEST_FAILED = "the server rejected our request due to an error in our request"
_DENIED = "admission webhook"


class Kind(StrEnum):
    """The kinds that are read or written, by their path below a namespace."""

    INFERENCE_SERVICE = "apis/serving.kserve.io/v1beta1/{}/inferenceservices"
    SERVING_RUNTIME = "apis/serving.kserve.io/v1alpha1/{}/servingruntimes"
    HTTP_ROUTE = "apis/gateway.networking.k8s.io/v1/{}/httproutes"
    DEPLOYMENT = "apis/apps/v1/{}/deployments"
    AUTOSCALER = "apis/autoscaling/v2/{}/horizontalpodautoscalers"
    POD = "api/v1/{}/pods"


class Cluster:
    """One namespace of one cluster. Connects with the first call."""

    def __init__(self, namespace: str, *, kubeconfig: Path | None = None, context: str | None = None) -> None:
        """Name the place.

        Args:
            namespace: All calls stay in it.
            kubeconfig: File with credentials; None tries the pod's own, then `KUBECONFIG`.
            context: Of the kubeconfig; None for its current one.
        """
        self.namespace = namespace
        self._kubeconfig, self._context = kubeconfig, context
        self._api: Any = None

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """One object; None when it is not there.

        Raises:
            NotRunningError: The API server does not answer.
            ConfigError: The credentials are missing or not enough.
        """
        found: Manifest | None = self._repeated(lambda: self._json("GET", f"{self._path(kind)}/{name}"))
        return found

    def select(self, kind: Kind, selector: str) -> list[Manifest]:
        """The objects whose labels match.

        Raises:
            NotRunningError: The API server does not answer.
            ConfigError: The credentials are missing or not enough.
        """
        query = {"labelSelector": selector}
        found = self._repeated(lambda: self._json("GET", self._path(kind), query=query))
        return list((found or {}).get("items") or [])

    def create(self, kind: Kind, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """A new object; unknown fields are refused.

        Raises:
            ConflictError: One of that name is there.
            ConfigError: The cluster refuses it.
        """
        query = _strict(dry_run)
        made: Manifest = self._json("POST", self._path(kind), query=query, body=body) or {}
        return made

    def patch(self, kind: Kind, name: str, operations: list[Operation], *, dry_run: bool = False) -> Manifest:
        """The object after a JSON patch, whole or not at all; unknown fields are refused.

        Raises:
            ConflictError: A `test` in it failed: the object is not what it was.
            ConfigError: The cluster refuses it, or there is no such object.
        """
        query, path = _strict(dry_run), f"{self._path(kind)}/{name}"
        patched: Manifest | None = self._json("PATCH", path, query=query, body=operations)
        if patched is None:
            raise ConfigError(f"there is no {kind.name.lower()} {name} to change in {self.namespace}")
        return patched

    def delete(self, kind: Kind, name: str) -> bool:
        """Ask for the end of an object. False when it is not there."""
        return self._repeated(lambda: self._json("DELETE", f"{self._path(kind)}/{name}")) is not None

    def pod_text(self, pod: str, port: int, path: str) -> str | None:
        """What a pod answers to GET, through the API server; None when it does not.

        Raises:
            ConfigError: The credentials do not allow `pods/proxy`.
        """
        place = f"{self._path(Kind.POD)}/{pod}:{port}/proxy{path}"
        try:
            return self._text("GET", place)
        except TransientError:
            return None

    def ask_pod(self, pod: str, port: int, path: str, body: Any) -> tuple[int, bytes] | None:
        """Status and body of a pod's answer to POST, through the API server; None when it does not answer.

        Raises:
            ConfigError: The credentials do not allow to `create` below `pods/proxy`.
        """
        place = f"{self._path(Kind.POD)}/{pod}:{port}/proxy{path}"
        try:
            answer = self._text("POST", place, body=body)
        except ModelwayError as error:
            if (own := _of_a_pod(error.__cause__)) is not None:
                return own
            if isinstance(error, TransientError):
                return None
            raise
        return None if answer is None else (200, answer.encode())

    def _path(self, kind: Kind) -> str:
        return "/" + kind.value.format(f"namespaces/{self.namespace}")

    def _json(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        text = self._text(method, path, query=query, body=body)
        return None if text is None else json.loads(text)

    def _text(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None
    ) -> str | None:
        """The answer's text; None for 404."""
        headers = {
            "Accept": "*/*" if "/proxy" in path else "application/json",
            "Content-Type": _JSON_PATCH if method == "PATCH" else "application/json",
        }
        with _Border(f"{method} {path}") as border:
            response = self._connected().call_api(
                path,
                method,
                query_params=list((query or {}).items()),
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=_REQUEST_TIMEOUT_S,
            )
            return str(_raw(response).data.decode())
        return border.nothing

    def _connected(self) -> Any:
        if self._api is None:
            self._api = _connect(self._kubeconfig, self._context)
        return self._api

    def _repeated(self, call: Callable[[], _Answer]) -> _Answer:
        """Try again what may be tried again: reading and deleting."""
        for attempt in range(1, _ATTEMPTS):
            try:
                return call()
            except TransientError:
                time.sleep(_PAUSE_S * attempt)
        return call()


def _strict(dry_run: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def _raw(response: Any) -> Any:
    """`call_api` returns the response, or (response, status, headers), depending on the client's version."""
    return response[0] if isinstance(response, tuple) else response


def _connect(kubeconfig: Path | None, context: str | None) -> Any:
    from kubernetes import client, config  # noqa: PLC0415 - a second, for those who speak to a cluster

    settings = client.Configuration()
    settings.retries = False  # ours are counted and bounded
    try:
        if kubeconfig is None and context is None and _in_cluster():
            config.load_incluster_config(client_configuration=settings)
        else:
            file = str(kubeconfig) if kubeconfig else None
            config.load_kube_config(config_file=file, context=context, client_configuration=settings)
    except config.ConfigException as error:
        raise ConfigError(
            f"no credentials for a cluster: {error}",
            expected="a kubeconfig, or a pod with a service account",
            remedy="set `kubeconfig` and `context` of the model deployer, or KUBECONFIG",
        ) from error
    return client.ApiClient(settings)


def _in_cluster() -> bool:
    from kubernetes.config import incluster_config  # noqa: PLC0415 - as above

    return Path(incluster_config.SERVICE_TOKEN_FILENAME).exists()


class _Border:
    """Turns the client's errors into ours. A 404 is an answer: nothing is there."""

    nothing = None

    def __init__(self, call: str) -> None:
        """Name the call, for messages."""
        self._call = call

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if error is None or isinstance(error, ModelwayError):
            return False
        from kubernetes.client.rest import ApiException  # noqa: PLC0415 - imported already when one is raised
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - as above

        if isinstance(error, AttributeError) and isinstance(error.__context__, ApiException):
            error = error.__context__  # where TLS fails the client trips over its own error's missing body
        if isinstance(error, ApiException) and error.status == 404:  # noqa: PLR2004 - not found
            return True
        if isinstance(error, ApiException) and error.status:
            raise mapped(int(error.status), _message(error), self._call) from error
        if isinstance(error, (ApiException, HTTPError, OSError)):
            raise NotRunningError(
                f"the cluster does not answer {self._call}: {_one_line(error)}",
                expected="an API server that can be reached",
                remedy="check kubeconfig, network and `kubectl get --raw /readyz`",
            ) from error
        return False


def _of_a_pod(cause: Any) -> tuple[int, bytes] | None:
    """A refusal behind the proxy; None for what the API server, whose own are of kind Status, says itself."""
    status, body = getattr(cause, "status", None), getattr(cause, "body", None)
    if not status or not isinstance(body, (bytes, str)):
        return None
    raw = body.encode() if isinstance(body, str) else body
    try:
        told = json.loads(raw)
    except ValueError:
        told = None
    own = isinstance(told, dict) and told.get("kind") != "Status"
    return (int(status), raw) if own else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "reason", None) or error).split())


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.body or error.reason)


def mapped(status: int, message: str, call: str) -> ModelwayError:
    """The error of ours that an HTTP status of the API server stands for."""
    if status == 409 or (status == 422 and message == _TEST_FAILED):  # noqa: PLR2004 - HTTP
        return ConflictError(
            message, expected="the object as it was read", remedy="read it again and decide again"
        )
    if status == 401 or (status == 403 and _DENIED not in message):  # noqa: PLR2004 - HTTP
        return ConfigError(
            f"the cluster denies {call}: {message}",
            expected="the rights in the role that `python -m serving.kserve` prints",
            remedy="renew the credentials, or bind the role",
        )
    if status in {400, 403, 422}:
        return ConfigError(
            f"the cluster refuses it: {message}",
            expected="what KServe's webhooks and the CRD accept",
            remedy="correct what the message names",
        )
    if status == 429 or status >= 500:  # noqa: PLR2004 - HTTP
        return NotRunningError(f"the cluster answers {status} to {call}: {message}", remedy="try again")
    return InfrastructureError(f"the cluster answers {status} to {call}: {message}")
