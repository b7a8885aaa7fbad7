"""Waiting for the cluster, with a deadline of our own: KServe's conditions stay true while nothing is."""

import logging
import time
from collections.abc import Callable

from modelway.errors import NotReadyError, TransientError

logger = logging.getLogger(__name__)
_POLL_S = 0.5


def until(look: Callable[[], bool], limit_s: float, what: str) -> None:
    """Look again and again until it is so; what may pass by itself is waited out.

    Args:
        look: True once it is so.
        limit_s: Seconds to wait at most.
        what: For people.

    Raises:
        NotReadyError: It was not so in time.
    """
    deadline_s = time.monotonic() + limit_s
    last = ""
    while True:
        try:
            if look():
                return
        except TransientError as error:
            last = f": {error.found}"
            logger.info("waiting for %s: %s", what, error.found)
        if time.monotonic() > deadline_s:
            raise NotReadyError(
                f"{what} did not come within {limit_s:g} s{last}",
                expected="pods that become ready and a gateway that follows",
                remedy="kubectl describe inferenceservice and its pods say more",
            )
        time.sleep(_POLL_S)
