"""`python -m loadtests`: one load test, in a process of its own.

Exit codes: 0 the promise held, 1 it was broken, 3 nothing can be said; 2 the arguments are wrong.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtests.options import LoadOptions, make_options, read_slo
from modelway.contract import Outcome
from modelway.errors import ModelwayError

EXIT_CODES = {Outcome.PASS: 0, Outcome.FAIL: 1, Outcome.INCONCLUSIVE: 3}


def parse(arguments: Sequence[str] | None) -> tuple[LoadOptions, bool]:
    """Options, and whether closing standard input ends the run.

    Raises:
        ConfigError: A value is wrong, or the SLO cannot be read.
    """
    given = vars(_parser().parse_args(arguments))
    stop_on_eof = given.pop("stop_on_eof")
    given["slo"] = read_slo(given["slo"])
    given["once"] = given["once"] or None
    for name in ("columns", "revisions", "watch_pids"):
        given[name] = tuple(given[name].split(",")) if given[name] else None
    return make_options(**given), stop_on_eof


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m loadtests", description=__doc__)
    add = parser.add_argument
    add("--url", required=True, help="scheme, host and port of the gateway or server")
    add("--model", required=True, help="name the service answers to")
    add("--rows", required=True, type=Path, help="Parquet, one column per model input")
    add("--slo", required=True, type=Path, help="YAML: the promise to hold the run against")
    add(
        "--out",
        required=True,
        type=Path,
        help="folder for verdict.json, requests.csv, report.html, junit.xml",
    )
    add("--rate-rps", type=float, help="offered requests per second (default: the SLO's)")
    add("--duration-s", type=float, help="seconds (default: the profile's)")
    add("--profile", help="smoke, steady, spike, soak or stress (default: steady)")
    add("--arrivals", choices=("poisson", "even"), help="how requests are spaced (default: poisson)")
    add("--users", type=int, help="connections (default: room for answers four times slower than the SLO)")
    add("--key", help="column sent as the row's subject, kept in the prediction log")
    add("--event-time", help="column sent as event_time, kept in the prediction log")
    add("--columns", help="inputs to send, comma-separated (default: all but key, times and label)")
    add("--rows-per-request", type=int, help="default 1")
    add("--once", action="store_true", help="send every row once, in order, and end")
    add("--timeout-s", type=float, help="seconds after which a request has failed (default 5)")
    add(
        "--purpose",
        choices=("user", "probe", "drill", "loadtest"),
        help="whose requests they are for the prediction log (default: loadtest, left out of monitoring)",
    )
    add("--revisions", help="A,B: compare these two, every row sent to both")
    add("--watch-pids", help="processes of this machine whose memory to watch, comma-separated")
    add("--metrics-url", help="where the server says process_resident_memory_bytes")
    add("--seed", type=int, help="of arrivals and rows (default 0)")
    add("--stop-on-eof", action="store_true", help="end early, with a verdict, when standard input closes")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one load test and write its files."""
    try:
        options, stop_on_eof = parse(arguments)
        return _run(options, stop_on_eof)
    except ModelwayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - a command speaks on stderr
        return error.exit_code


def _run(options: LoadOptions, stop_on_eof: bool) -> int:
    from loadtests.drive import drive  # noqa: PLC0415 - importing it patches the process: not for --help
    from loadtests.outputs import write_outputs  # noqa: PLC0415 - as above
    from loadtests.verdict import judge_load  # noqa: PLC0415 - numpy, as above

    requests, results = drive(options, stop_on_eof=stop_on_eof)
    report = write_outputs(options, requests, results, judge_load(results, options.slo, options.profile))
    for reason in report.verdict.reasons:
        print(f"{reason.outcome.value:13} {reason.metric}: {reason.message}")  # noqa: T201 - the result
    return EXIT_CODES[report.verdict.outcome]


def _leave(code: int) -> None:
    """Leave without waiting for greenlets that still hang on a server that never answers."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
