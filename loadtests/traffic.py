"""Real rows offered in the background, e.g. under a canary whose users are not there yet."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from loadtests.options import LoadOptions
from loadtests.run import start_load
from modelway.contract import Frozen, Slo
from modelway.data.frames import FrameRef

LONGEST_S = 1_800.0
"""Traffic ends by itself after this long, whatever happens to who started it."""


class Traffic(Frozen):
    """Which rows to replay, and how fast."""

    rows: FrameRef
    """One column per model input, beside the key and `event_time`."""
    key: str
    rate_rps: float = Field(gt=0)
    """Requests per second, arriving at random (Poisson)."""


@contextmanager
def offered(traffic: Traffic | None, *, url: str, model: str, slo: Slo, out: Path) -> Iterator[None]:
    """Offer `traffic` to a service for the length of the block; None offers nothing.

    Args:
        traffic: What to offer.
        url: The gateway.
        model: Name the service answers to.
        slo: Shown on the report that is left in `out`.
        out: Folder for the report.

    Raises:
        ConfigError: The rows cannot be sent.
        StorageError: `out` cannot be written.
    """
    if traffic is None:
        yield
        return
    with start_load(_options(traffic, url, model, slo, out)) as load:
        yield
        load.stop()


def _options(traffic: Traffic, url: str, model: str, slo: Slo, out: Path) -> LoadOptions:
    return LoadOptions(
        url=url,
        model=model,
        rows=Path(traffic.rows.uri),
        out=out,
        slo=slo,
        rate_rps=traffic.rate_rps,
        duration_s=LONGEST_S,
        key=traffic.key,
        event_time="event_time",
    )
