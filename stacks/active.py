"""The active stack's parts as objects of ours. Steps and commands ask here; nobody asks which stack it is.

Inside a run the stack is the run's own, also when someone says `zenml stack set` meanwhile: the orchestrator
flavor pins it. What each function returns is imported inside it, for a step needs one or two of them.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zenml.enums import StackComponentType

from modelway.errors import ConfigError
from modelway.home import Home
from stacks.apply import ensure_active_stack
from stacks.zenml_client import client

if TYPE_CHECKING:
    from modelway.data.snapshot import FolderSnapshotStore
    from modelway.features.store import FeatureStore
    from modelway.registry.governance import GovernancePolicy
    from modelway.registry.registry import Registry
    from modelway.training.tracking import Tracker
    from serving.rollout.kserve import KServeTarget
    from serving.rollout.local import LocalTarget
    from serving.rollout.target import Revision

_SETTINGS_HEAD = "# Written by modelway: change this line, and it is yours from then on.\n"


def stack_name() -> str:
    """Name of the active stack; a home without any of ours gets `local`."""
    return ensure_active_stack(Home.current())


def snapshot_store() -> "FolderSnapshotStore":
    """Data snapshots, in the artifact store."""
    from modelway.data.snapshot import FolderSnapshotStore  # noqa: PLC0415 - see the module

    return FolderSnapshotStore(f"{_artifact_path()}/snapshots")


def frames_folder() -> str:
    """Where content-addressed tables go: a folder or URL in the artifact store."""
    return f"{_artifact_path()}/frames"


def bundles_folder() -> Path:
    """Where signed bundles go, one folder per digest: servers of this machine map them from a disk.

    Raises:
        ConfigError: The artifact store is a remote one. As a path its URL would be a folder named `s3:`.
    """
    if "://" in (place := _artifact_path()):
        raise ConfigError(
            f"the artifact store of stack {stack_name()} is {place}",
            expected="a folder of this machine, or one that is mounted here",
            remedy="keep the artifact store local; bundles reach a cluster by the deployer's `storage`",
        )
    return Path(place) / "bundles"


def tracker() -> "Tracker":
    """The experiment tracker: MLflow, through an explicit client."""
    from modelway.training.tracking import Tracker  # noqa: PLC0415 - see the module

    return Tracker(tracking_uri(), f"{_artifact_path()}/mlflow")


def tracking_uri() -> str:
    """Address of MLflow's store; for a SQLite file, its folder is made."""
    uri = str(_setting(StackComponentType.EXPERIMENT_TRACKER, "tracking_uri"))
    if urlsplit(uri).scheme == "sqlite":
        Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    return uri


def registry() -> "Registry":
    """Registered models, their bundles and the audit log."""
    from modelway.registry.audit import AuditLog  # noqa: PLC0415 - see the module
    from modelway.registry.registry import Registry  # noqa: PLC0415 - see the module

    log = AuditLog(Home.current().audit)
    return Registry(tracking_uri(), bundles_folder(), log, policy=governance())


def governance() -> "GovernancePolicy":
    """The active stack's rules for production, as its file says now.

    Raises:
        ConfigError: The stack has no file: rules that cannot be read are not taken for none.
    """
    from stacks.spec import read_stack  # noqa: PLC0415 - see the module

    return read_stack(stack_name(), Home.current()).governance


def warm_versions() -> int:
    """How many former production versions the active stack keeps loaded, as its file says now."""
    from stacks.spec import read_stack  # noqa: PLC0415 - see the module

    return read_stack(stack_name(), Home.current()).serving.warm_versions


def feature_store() -> "FeatureStore":
    """The feature store: Feast repository and online store."""
    from modelway.features.store import FeatureStore  # noqa: PLC0415 - see the module

    root = Path(_setting(StackComponentType.FEATURE_STORE, "root"))  # every flavor of ours has one
    component = client().active_stack_model.components[StackComponentType.FEATURE_STORE][0]
    return FeatureStore(root, redis=component.configuration.get("redis"))


def serving_target(service: str | None = None) -> "LocalTarget | KServeTarget":
    """Where rollouts put revisions: the local gateway, or a cluster.

    Replicas of the local gateway are told of the service's online features, where it has any.

    Args:
        service: Name of the model. A cluster serves each under its own name; the local gateway has one at a
            time and does not ask.

    Raises:
        ConfigError: The stack serves on a cluster, and neither the caller nor the stack names a service.
    """
    if serves_on_a_cluster():
        from stacks.cluster import kserve_target  # noqa: PLC0415 - see the module

        return kserve_target(_deployer(), service, bundles=bundles_folder())
    target = local_gateway()
    if service is not None:
        offer_online_store(service, target.root)
    return target


def rendered(revision: "Revision", *, replicas: int) -> str:
    """YAML of the object that would serve a revision alone on the active stack's cluster. Asks no cluster.

    Raises:
        ConfigError: The stack serves on this machine, or the object is one that a cluster would refuse.
    """
    import yaml  # noqa: PLC0415 - see the module

    from stacks.cluster import whole_object  # noqa: PLC0415 - see the module

    if not serves_on_a_cluster():
        raise ConfigError(
            f"the active stack `{stack_name()}` serves on this machine: there is no object to print",
            expected="a stack whose model deployer is of flavor `kserve`, such as `kubernetes`",
            remedy="`modelway stack use kubernetes`; here, serve without --dry-run",
        )
    found = whole_object(_deployer(), revision, replicas=replicas)
    return str(yaml.safe_dump(found, sort_keys=False))


def local_gateway() -> "LocalTarget":
    """The gateway on this machine.

    Raises:
        ConfigError: The stack serves on a cluster.
    """
    from serving.rollout.local import LocalTarget  # noqa: PLC0415 - see the module

    if serves_on_a_cluster():
        raise ConfigError(
            f"the active stack `{stack_name()}` serves on a cluster, not on this machine",
            expected="a stack whose model deployer is of flavor `gateway`, such as `local`",
            remedy="use `modelway rollout start` here, or switch the stack",
        )
    return LocalTarget(serving_root())


def offer_online_store(service: str, root: Path) -> None:
    """Let replicas that are deployed from now on read the service's online features, if it has any.

    Settings that somebody else wrote are left as they are.

    Raises:
        ConfigError: The features are in a Redis whose address servers cannot be told.
    """
    from modelway.usecase import load_use_case, use_case_names  # noqa: PLC0415 - see the module
    from serving.gateway.files import put  # noqa: PLC0415 - see the module
    from stacks.online_place import online_place  # noqa: PLC0415 - see the module

    path = root / "settings.yaml"
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    if service not in use_case_names() or (written and not written.startswith(_SETTINGS_HEAD)):
        return
    place = online_place(feature_store(), load_use_case(service))
    wanted = f"{_SETTINGS_HEAD}online_store: {json.dumps(place)}\n"
    if place is None:
        path.unlink(missing_ok=True)
    elif wanted != written:
        put(path, wanted)


def serves_on_a_cluster() -> bool:
    """The active stack's model deployer is of flavor `kserve`."""
    ensure_active_stack(Home.current())
    deployers = client().active_stack_model.components.get(StackComponentType.MODEL_DEPLOYER) or []
    return bool(deployers) and deployers[0].flavor_name == "kserve"


def serving_root() -> Path:
    """Folder of the model deployer on this machine: records; of a local gateway also its state and logs."""
    return Path(_setting(StackComponentType.MODEL_DEPLOYER, "root"))


def reports_folder() -> Path:
    """Pages for people, of this stack; `modelway ui` shows them."""
    return Home.current().reports / stack_name()


def _artifact_path() -> str:
    return str(_setting(StackComponentType.ARTIFACT_STORE, "path")).rstrip("/")


def _deployer() -> dict[str, Any]:
    deployers = client().active_stack_model.components[StackComponentType.MODEL_DEPLOYER]
    return dict(deployers[0].configuration)


def _setting(kind: StackComponentType, key: str) -> Any:
    ensure_active_stack(Home.current())
    stack = client().active_stack_model
    components = stack.components.get(kind) or []
    if not components or key not in components[0].configuration:
        raise ConfigError(
            f"the active stack `{stack.name}` has no {kind} with a `{key}`",
            expected="a stack of ours, such as `local`",
            remedy="modelway stack apply, then zenml stack set local",
        )
    return components[0].configuration[key]
