"""What the pods of each revision counted since a window opened."""

from collections.abc import Callable, Mapping, Sequence

from serving.kserve.spec import Manifest
from serving.kserve.view import restarts
from serving.rollout.counters import Ledger, Reading, add, observed, parse
from serving.rollout.target import Observations, RevisionId

Pods = Mapping[RevisionId, Sequence[Manifest]]


def count(
    pods: Pods, before: Ledger | None, scrape: Callable[[Manifest], str | None]
) -> tuple[Ledger, dict[RevisionId, Observations]]:
    """Add what the pods have counted since the last look.

    The gateway's own view of a revision is not to be had: it folds both arms into one cluster. So a failure
    is known from the pods or not at all. A pod that crashed within the window took answers with it that
    nobody counted, and one that runs and cannot be read keeps them to itself: in both cases the errors of
    its revision are not known, which no judge takes for none.

    Args:
        pods: By revision.
        before: The ledger of the same window; None opens it.
        scrape: A pod's metrics as text, None when it does not answer.

    Returns:
        The ledger to keep, and what each revision did.
    """
    readings = tuple(
        _reading(name, pod, scrape) for name, some in pods.items() for pod in some if _counts(pod, before)
    )
    ledger = add(before, readings)
    dark = {reading.revision for reading in readings if reading.counters is None}
    dark |= {name for name in pods if name not in {reading.revision for reading in readings}}
    crashed = {name for name, some in pods.items() for pod in some if _lived_before(pod, ledger)}
    return ledger, {
        name: observed(
            ledger, name, replicas_known=name not in dark, gateway_known=name not in dark | crashed
        )
        for name in pods
    }


def _reading(revision: RevisionId, pod: Manifest, scrape: Callable[[Manifest], str | None]) -> Reading:
    text = scrape(pod)
    return Reading(revision=revision, source=_source(pod), counters=None if text is None else parse(text))


def _counts(pod: Manifest, ledger: Ledger | None) -> bool:
    """Whether the pod has something to say: not while it is being made, nor once it has stopped as asked."""
    if _running(pod):
        return True
    known = ledger is not None and any(source.startswith(_life(pod)) for source in ledger.last)
    return known and "deletionTimestamp" not in pod["metadata"]


def _running(pod: Manifest) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    return any("running" in (status.get("state") or {}) for status in statuses)


def _life(pod: Manifest) -> str:
    return f"pod-{pod['metadata']['uid']}-"


def _source(pod: Manifest) -> str:
    """Changes when the counters begin anew."""
    return f"{_life(pod)}{restarts(pod)}"


def _lived_before(pod: Manifest, ledger: Ledger) -> bool:
    """An earlier life of the pod was counted in this window."""
    return any(source.startswith(_life(pod)) and source != _source(pod) for source in ledger.last)
