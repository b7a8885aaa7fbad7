"""What a revision is meant to be on this machine: its place in desired.json, and whether gRPC is answered."""

from pathlib import Path

from modelway.errors import ConfigError
from serving.gateway.desired import Desired, Layout, RevisionSpec
from serving.rollout.target import Revision
from serving.runtime.settings import read_settings


def spec_of(revision: Revision, replicas: int, layout: Layout) -> RevisionSpec:
    """How it is to run: told of the gateway's settings, where there are any."""
    return RevisionSpec(
        bundle=revision.bundle.resolve(),
        digest=revision.digest,
        verify_key=revision.verify_key.resolve(),
        replicas=replicas,
        settings=layout.settings if layout.settings.is_file() else None,
    )


def with_revision(wish: Desired, revision: Revision, spec: RevisionSpec, *, grpc: bool | None) -> Desired:
    """The wish with one more revision, or with more or fewer replicas of it.

    Args:
        wish: The present one.
        revision: Who is to run.
        spec: How.
        grpc: Whether the gateway shall answer gRPC; None leaves that as it is.

    Raises:
        ConfigError: The name already stands for another bundle.
    """
    before = wish.revisions.get(revision.id)
    if before is not None and before.digest != spec.digest:
        raise ConfigError(
            f"revision {revision.id} already runs bundle {before.digest[:12]}",
            expected=f"a new name for bundle {spec.digest[:12]}",
            remedy="a revision never changes its bundle: retire it first, or name the new one otherwise",
        )
    both = {**wish.revisions, revision.id: spec}
    return wish.model_copy(update={"revisions": both, "grpc": wish.grpc if grpc is None else grpc})


def grpc_asked(settings: Path, asked: bool | None) -> bool | None:
    """Whether the gateway shall answer gRPC: as somebody says, else as the settings do. None: nobody says.

    Args:
        settings: The gateway's `settings.yaml`; it need not be there.
        asked: What was said beside it.

    Raises:
        ConfigError: The settings name a port, which two predictors cannot share; or both say the opposite.
    """
    port = read_settings(settings).grpc_port if settings.is_file() else None
    if port:
        raise ConfigError(
            f"{settings}: `grpc_port` {port}",
            expected="0: behind the gateway gRPC is answered at the gateway's own port",
            remedy="write 0; each predictor then gets a port of its own",
        )
    if port is not None and asked is False:
        raise ConfigError(
            f"{settings}: `grpc_port` asks for gRPC, and --no-grpc for none",
            expected="both to say the same",
            remedy="take `grpc_port` out of the settings",
        )
    return asked if port is None else True
