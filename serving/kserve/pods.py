"""What a pod of ours is given beside its bundle: settings, keys, a place for the prediction log. Pure."""

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml

from modelway.contract import Frozen
from modelway.errors import ConfigError
from serving.kserve.spec import Manifest
from serving.runtime.redis_server import RedisServer
from serving.runtime.settings import Settings, read_settings

GRPC_PORT = 9000
SETTINGS_MAP = "modelway-settings"
"""The ConfigMap with the settings."""
SETTINGS_FILE = Path("/etc/modelway-settings/settings.yaml")
KEYS_FILE = Path("/etc/modelway-keys/keys.yaml")
REDIS_CA_FILE = Path("/etc/modelway-redis/ca.crt")
"""For `?ssl_ca_certs=` in the address, where the Secret holds an authority of one's own."""
PREDICTIONS = Path("/var/lib/modelway/predictions")
_NOT_IN_A_POD = {
    "tls": "probes, the gateway and the judge speak plain HTTP to pods: end TLS at the Gateway",
    "metrics_need_key": "the judge reads /metrics without one: close the port with a NetworkPolicy",
    "keys_file": "name the Secret that holds keys.yaml with --keys-secret",
}


_HOW = {
    "online_store": "docs/how-to/serve-by-key-on-kserve.md",
    "jobs": "docs/how-to/ask-asynchronously.md",
}


class PodExtras(Frozen):
    """Chosen once for all pods of a ServingRuntime."""

    settings: Settings = Settings()
    keys_secret: str = ""
    """Secret with `keys.yaml`, as `python -m serving.runtime.keys` writes it; changed there, changed here."""
    predictions_claim: str = ""
    """PersistentVolumeClaim that all pods may write (ReadWriteMany)."""
    redis_secret: str = ""
    """Secret with a key for each `${NAME}` in the settings' Redis address, and maybe `ca.crt`."""

    @property
    def ports(self) -> list[dict[str, Any]]:
        """Beside HTTP's."""
        asked = self.settings.grpc_port is not None
        return [{"name": "grpc", "containerPort": GRPC_PORT, "protocol": "TCP"}] if asked else []

    @property
    def env(self) -> list[dict[str, Any]]:
        """Of the container: a pod whose Secret lacks one of them is not started."""
        return [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": self.redis_secret, "key": name}}}
            for name in _variables(self.settings)
        ]

    @property
    def args(self) -> list[str]:
        """Of the server."""
        settings = [f"--settings={SETTINGS_FILE}"] if self._has_settings else []
        return settings + ([f"--log-dir={PREDICTIONS}"] if self.predictions_claim else [])

    @property
    def mounts(self) -> list[dict[str, Any]]:
        """Of the container."""
        places = {"settings": SETTINGS_FILE, "keys": KEYS_FILE, "redis": REDIS_CA_FILE}
        folders = {name: file.parent for name, file in places.items()} | {"predictions": PREDICTIONS}
        return [
            {"name": each["name"], "mountPath": str(folders[each["name"]])}
            | ({} if each["name"] == "predictions" else {"readOnly": True})
            for each in self.volumes
        ]

    @property
    def volumes(self) -> list[dict[str, Any]]:
        """Of the pod."""
        found: list[dict[str, Any]] = []
        if self._has_settings:
            found.append({"name": "settings", "configMap": {"name": SETTINGS_MAP}})
        if self.keys_secret:
            found.append({"name": "keys", "secret": {"secretName": self.keys_secret}})
        if self.redis_secret:
            authority = [{"key": REDIS_CA_FILE.name, "path": REDIS_CA_FILE.name}]
            secret = {"secretName": self.redis_secret, "items": authority, "optional": True}
            found.append({"name": "redis", "secret": secret})
        if self.predictions_claim:
            claim = {"claimName": self.predictions_claim}
            found.append({"name": "predictions", "persistentVolumeClaim": claim})
        return found

    def maps(self, namespace: str) -> list[Manifest]:
        """The ConfigMap that the pods mount, where there is anything to say."""
        if not self._has_settings:
            return []
        said = self.settings.model_dump(mode="json", exclude_defaults=True)
        keys = {"keys_file": str(KEYS_FILE)} if self.keys_secret else {}
        return [
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": SETTINGS_MAP, "namespace": namespace},
                "data": {SETTINGS_FILE.name: yaml.safe_dump(said | keys, sort_keys=False)},
            }
        ]

    @property
    def _has_settings(self) -> bool:
        return self.settings != Settings() or bool(self.keys_secret)


def pod_settings(path: Path) -> Settings:
    """The settings of a file, if pods can keep what they say.

    Raises:
        ConfigError: It cannot be read, or says what holds on one machine alone.
    """
    settings = read_settings(path)
    for name, remedy in _NOT_IN_A_POD.items():
        if getattr(settings, name):
            raise ConfigError(f"{path}: `{name}` for pods", expected="settings without it", remedy=remedy)
    _require_reachable(path, "online_store", settings.online_store)
    if settings.jobs is not None:
        _require_reachable(path, "jobs", settings.jobs.redis or settings.jobs.file)
    if settings.grpc_port not in {None, GRPC_PORT}:
        raise ConfigError(
            f"{path}: `grpc_port` {settings.grpc_port}",
            expected=f"{GRPC_PORT}, the port that the pods open",
            remedy=f"write {GRPC_PORT}, or leave it out",
        )
    return settings


def _require_reachable(path: Path, name: str, store: RedisServer | Path | None) -> None:
    """A store that every pod reaches: no file, and no address of this machine."""
    if isinstance(store, Path):
        raise ConfigError(
            f"{path}: `{name}` in {store} for pods",
            expected="a Redis of the network: that file is on no pod",
            remedy=f"write the address of one: {_HOW[name]}",
        )
    if store is not None and store.host is not None and _is_loopback(store.host):
        raise ConfigError(
            f"{path}: `{name}` at {store.host} for pods",
            expected="a host that pods reach: there it is the pod itself",
            remedy="name the Redis as the cluster's DNS does",
        )


def _variables(settings: Settings) -> tuple[str, ...]:
    """Names of the environment that its addresses need."""
    stores = (settings.online_store, settings.jobs.redis if settings.jobs else None)
    names = (name for store in stores if isinstance(store, RedisServer) for name in store.variables)
    return tuple(dict.fromkeys(names))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def require_secret(settings: Settings, redis_secret: str) -> None:
    """A Secret where the address of the Redis needs one, and only there.

    Raises:
        ConfigError: One of the two says nothing of the other.
    """
    needed = _variables(settings)
    if bool(needed) == bool(redis_secret):
        return
    if needed:
        raise ConfigError(
            f"the settings name {', '.join(needed)} and no Secret says what it is",
            expected="--redis-secret NAME, of a Secret with these keys",
            remedy="kubectl create secret generic NAME --from-literal=KEY=VALUE, then name it",
        )
    raise ConfigError(
        f"--redis-secret {redis_secret}, and the settings name no variable of it",
        expected="${NAME} in the address of `online_store` or of `jobs.redis` in the file of --settings",
        remedy="write it, or leave the Secret out",
    )
