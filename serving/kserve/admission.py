"""Which revision may be brought in beside those that run."""

from modelway.errors import ConfigError, TransitionError
from serving.kserve.view import ArmView, ServiceView
from serving.rollout.target import RevisionId


def require_same(arm: ArmView, digest: str) -> None:
    """A name stands for one bundle.

    Raises:
        ConfigError: It stands for another one already.
    """
    if arm.digest != digest:
        raise ConfigError(
            f"revision {arm.revision} already runs bundle {arm.digest[:12]}",
            expected=f"a new name for bundle {digest[:12]}",
            remedy="a revision never changes its bundle: name the new one otherwise",
        )


def require_new(view: ServiceView, revision: RevisionId, digest: str) -> None:
    """KServe promotes by name and storage address together: the same address cannot be promoted.

    Raises:
        ConfigError: The stable revision is the same bundle.
    """
    if view.stable.digest == digest:
        raise ConfigError(
            f"{revision} is the bundle that {view.stable.revision} serves already",
            expected="another bundle",
            remedy="there is nothing to roll out",
        )


def require_room(view: ServiceView) -> None:
    """One canary at a time. A former revision that is kept loaded makes room.

    Raises:
        TransitionError: There is one.
    """
    if view.canary is not None and view.standby is None:
        raise TransitionError(
            f"{view.canary.revision} stands beside {view.stable.revision} with {view.weight} %",
            expected="one rollout per service at a time",
            remedy="resume or abort the rollout that put it there",
        )
