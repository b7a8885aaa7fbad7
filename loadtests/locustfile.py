"""For plain Locust: `locust -f loadtests/locustfile.py --headless -u 40 --rows … --model … --slo …`.

Every option may also come from the environment, e.g. MODELWAY_ROWS. The load is the same open-loop
schedule as `python -m loadtests`; `--host` is the address, Locust's exit code is the verdict's.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from locust import events
from locust.env import Environment

from loadtests.__main__ import EXIT_CODES
from loadtests.drive import begin, finish, make_offer
from loadtests.offer import Offer
from loadtests.options import LoadOptions, make_options, read_slo
from loadtests.outputs import write_outputs
from loadtests.user import ModelUser
from loadtests.verdict import judge_load
from loadtests.watch import Watch
from modelway.errors import ModelwayError


class ScheduledUser(ModelUser):
    """Bound to the run when the test starts."""

    watch: Watch


@events.init_command_line_parser.add_listener
def _add_options(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("Modelway")
    for name, text in (
        ("rows", "Parquet, one column per model input"),
        ("slo", "YAML: the promise to hold the run against"),
        ("model", "name the service answers to"),
        ("out", "folder for the verdict"),
        ("rate-rps", "offered requests per second"),
        ("duration-s", "seconds"),
        ("load-profile", "smoke, steady, spike, soak or stress"),
        ("key", "column sent as the row's subject"),
        ("event-time", "column sent as event_time"),
    ):
        environment = f"MODELWAY_{name.replace('-', '_').upper()}"
        group.add_argument(f"--{name}", help=text, env_var=environment)


@events.init.add_listener
def _prepare(environment: Environment, **_kwargs: Any) -> None:
    """Read the rows before anything starts; an error in a later event would be logged and passed over."""
    try:
        _bind(_options(environment))
    except ModelwayError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - Locust's log hides it among tables
        raise SystemExit(error.exit_code) from error


def _bind(options: LoadOptions) -> None:
    ScheduledUser.watch = Watch(options)
    ScheduledUser.offer, ScheduledUser.begun, ScheduledUser.ended = make_offer(options), Event(), Event()
    ScheduledUser.model = options.model
    ScheduledUser.network_timeout = ScheduledUser.connection_timeout = options.timeout_s


_AS_NAMED = ("rows", "model", "rate_rps", "duration_s", "key", "event_time")


def _options(environment: Environment) -> LoadOptions:
    given = environment.parsed_options
    return make_options(
        url=environment.host or given.host,
        users=given.num_users,
        slo=read_slo(Path(given.slo or "slo.yaml")),
        out=given.out or "loadtest",
        profile=given.load_profile,
        **{name: getattr(given, name) for name in _AS_NAMED},
    )


@events.spawning_complete.add_listener
def _begin(user_count: int, **_kwargs: Any) -> None:
    """Every user is there: once their connections are open, the clock starts."""
    if user_count and not ScheduledUser.offer.started:
        watch, timeout_s = ScheduledUser.watch, ScheduledUser.network_timeout
        gevent.spawn(begin, ScheduledUser.offer, watch, ScheduledUser.begun, user_count, timeout_s)


@events.test_start.add_listener
def _watch(environment: Environment, **_kwargs: Any) -> None:
    gevent.spawn(_quit_at_the_end, environment, ScheduledUser.offer)


def _quit_at_the_end(environment: Environment, offer: Offer) -> None:
    while offer.overdue_s < 0 or (
        environment.runner.user_count and offer.overdue_s < 2 * ScheduledUser.network_timeout
    ):
        gevent.sleep(0.1)
    environment.runner.quit()


@events.quitting.add_listener
def _judge(environment: Environment, **_kwargs: Any) -> None:
    offer = getattr(ScheduledUser, "offer", None)
    if offer is None or not offer.started:
        return
    offer.stop()
    options = _options(environment)
    requests, results = finish(options, offer, ScheduledUser.watch)
    report = write_outputs(options, requests, results, judge_load(results, options.slo, options.profile))
    environment.process_exit_code = EXIT_CODES[report.verdict.outcome]
