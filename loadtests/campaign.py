"""Several runs as one: the gate of a pipeline, and a soak at a share of saturation."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from loadtests.options import LoadOptions, make_options
from loadtests.outputs import JUNIT_FILE, VERDICT_FILE, LoadReport, junit
from loadtests.run import start_load
from loadtests.saturation import Saturation
from modelway.contract import Frozen, Outcome, Reason, Verdict
from modelway.errors import StorageError

GATE = ("smoke", "steady")
"""What a pipeline runs before a service may be called good."""
SHARE = 0.7
"""Of saturation, at which a soak holds."""
_CLIMB = 4.0
"""The highest factor of the stress profile: the next run begins there."""
_MOST_RUNS = 6
Told = Callable[[str], None]


class Campaign(Frozen):
    """Several finished runs and the verdict on all of them."""

    verdict: Verdict
    reports: tuple[LoadReport, ...]
    saturation: Saturation | None = None
    """Of a soak: what its rate was taken from."""


def gate(options: LoadOptions, profiles: Sequence[str] = GATE, *, told: Told = print) -> Campaign:
    """Run profiles one after the other; the first that does not pass ends it.

    Args:
        options: Of every run but profile and folder; each profile gets its own folder below `out`.
        profiles: In order.
        told: Hears what begins and what came of it.

    Raises:
        InfrastructureError: A run ended without a verdict.
        StorageError: The files cannot be written.
    """
    reports: list[LoadReport] = []
    for profile in profiles:
        reports.append(_run(options, told, profile=profile, out=options.out / profile))
        if not reports[-1].verdict.passed:
            break
    return _finished(options.out, reports)


def soak(
    options: LoadOptions, *, share: float = SHARE, duration_s: float = 600.0, told: Told = print
) -> Campaign:
    """Find the saturation rate, then hold a share of it and see whether anything grows.

    Args:
        options: `rate_rps` is where the climb begins; `duration_s` the length of each climb.
        share: Of the saturation rate.
        duration_s: How long it is held.
        told: As `gate`.

    Raises:
        As `gate`.
    """
    climbs = list(_climb(options, told))
    found = climbs[-1].saturation
    if found is None or found.kept_rps is None:
        return _finished(options.out, climbs, saturation=found)
    # The soak profile's own factor is taken out: the rate that is held is share times saturation.
    rate_rps = found.kept_rps * share / _soak_factor()
    held = _run(
        options, told, profile="soak", rate_rps=rate_rps, duration_s=duration_s, out=options.out / "soak"
    )
    return _finished(options.out, [*climbs, held], saturation=found, held=held)


def _soak_factor() -> float:
    from loadtests.profiles import profile_of  # noqa: PLC0415 - one number of one profile

    return profile_of("soak").phases[0].factor


def _climb(options: LoadOptions, told: Told) -> Iterator[LoadReport]:
    rate_rps = options.rate
    for number in range(1, _MOST_RUNS + 1):
        out = options.out / f"climb-{number}"
        report = _run(options, told, profile="stress", rate_rps=rate_rps, out=out)
        yield report
        if report.saturation is None or report.saturation.limited_by != "nothing":
            return
        rate_rps *= _CLIMB


def _run(options: LoadOptions, told: Told, **changes: object) -> LoadReport:
    given = {name: getattr(options, name) for name in type(options).model_fields}
    chosen = make_options(**(given | changes))
    told(f"{chosen.profile}: {chosen.rate:g} requests/s at {chosen.url} …")
    with start_load(chosen) as load:
        report = load.wait()
    told(f"{chosen.profile}: {report.verdict.summary()}")
    return report


def _finished(
    out: Path,
    reports: Sequence[LoadReport],
    *,
    saturation: Saturation | None = None,
    held: LoadReport | None = None,
) -> Campaign:
    if held is None:
        verdict = Verdict.of(
            _named(each.profile, reason) for each in reports for reason in each.verdict.reasons
        )
    else:  # a climb breaks the promise on purpose; what counts is the rate it found
        verdict = Verdict.of([_found_by(saturation), *held.verdict.reasons])
    campaign = Campaign(verdict=verdict, reports=tuple(reports), saturation=saturation)
    _write(out, campaign)
    return campaign


def _named(profile: str, reason: Reason) -> Reason:
    return reason.model_copy(update={"metric": f"{profile}: {reason.metric}"})


def _found_by(saturation: Saturation | None) -> Reason:
    """A share of what the generator could do is no share of saturation."""
    known = saturation is not None and saturation.limited_by == "server"
    return Reason(
        metric="saturation",
        outcome=Outcome.PASS if known else Outcome.INCONCLUSIVE,
        message="not looked for" if saturation is None else saturation.text,
        found=saturation.kept_rps if saturation else None,
        unit="requests/s",
    )


def _write(out: Path, campaign: Campaign) -> None:
    suites = ET.Element("testsuites")
    for report in campaign.reports:
        suites.append(ET.fromstring(junit(report)))  # noqa: S314 - we wrote it a moment ago
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / JUNIT_FILE).write_bytes(ET.tostring(suites, encoding="utf-8", xml_declaration=True))
        (out / VERDICT_FILE).write_text(campaign.model_dump_json(indent=2), "utf-8")
    except OSError as error:
        raise StorageError(
            f"cannot write to {out}: {error.strerror}",
            expected="room and permission",
            remedy="free space or name another --out",
        ) from error
