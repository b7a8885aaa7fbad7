"""Asks every pod of a revision, past the gateway, what its bundle says the right answers are."""

from collections.abc import Iterable

from serving.kserve.client import Cluster
from serving.kserve.runtimes import HTTP_PORT
from serving.kserve.spec import REVISION_LABEL, Manifest
from serving.rollout.local_readings import signature_of
from serving.rollout.sights import Smoke
from serving.rollout.smoking import path_of, problems_of, question, rows_of, summed
from serving.rollout.target import Revision


def probe(cluster: Cluster, pods: Iterable[Manifest], wanted: int, revision: Revision) -> Smoke | None:
    """Ask all rows in one request a pod: a gateway gives a revision without a share no request of ours.

    Args:
        cluster: Where the pods run.
        pods: The revision's, those that leave included.
        wanted: How many have to answer.
        revision: Its bundle on this machine knows the answers.

    Returns:
        None where a pod is missing or does not answer: what was not asked is not right.

    Raises:
        NotReadyError: The bundle cannot be read.
        ConfigError: The credentials do not allow it.
    """
    signature = signature_of(revision)
    rows = rows_of(revision, signature)
    living = [pod["metadata"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    ours = [each["name"] for each in living if (each.get("labels") or {}).get(REVISION_LABEL) == revision.id]
    path, body = path_of(signature), question(rows)
    answers = [cluster.ask_pod(name, HTTP_PORT, path, body) for name in ours]
    if len(answers) < wanted or None in answers:
        return None
    return summed([text for answer in answers if answer for text in problems_of(*answer, rows)])
