"""Run one load test in this process with Locust. Only for a process of its own: gevent patches it."""

import os
import sys
from typing import NamedTuple
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from gevent.socket import create_connection, wait_read
from locust.env import Environment

from loadtests.analysis import analyse
from loadtests.bodies import make_bodies
from loadtests.offer import Offer
from loadtests.options import LoadOptions
from loadtests.outcomes import Requests
from loadtests.results import LoadResults
from loadtests.schedule import make_schedule
from loadtests.user import ModelUser
from loadtests.watch import Watch
from modelway.errors import NotRunningError

_LOOK_EVERY_S = 0.05


class Run(NamedTuple):
    """A finished run."""

    requests: Requests
    results: LoadResults


def make_offer(options: LoadOptions) -> Offer:
    """Bodies and schedule, ready to start."""
    bodies = make_bodies(options)
    return Offer(make_schedule(options, len(bodies)), bodies)


def user_class(options: LoadOptions, offer: Offer, begun: Event, ended: Event) -> type[ModelUser]:
    """The user bound to one run; `begun` lets all go at once, `ended` wakes those that wait."""
    bound = {
        "abstract": False,
        "host": options.url.rstrip("/"),
        "model": options.model,
        "revisions": options.revisions or (),
        "purpose": options.purpose,
        "offer": offer,
        "begun": begun,
        "ended": ended,
        "network_timeout": options.timeout_s,
        "connection_timeout": options.timeout_s,
    }
    return type("BoundModelUser", (ModelUser,), bound)


def drive(options: LoadOptions, *, stop_on_eof: bool = False) -> Run:
    """Offer the load, wait for the answers, count.

    Args:
        options: What to offer to whom.
        stop_on_eof: End early, keeping what was measured, when standard input is closed: whoever
            started this process says stop, or died.

    Raises:
        SourceError: The rows cannot be read.
        ConfigError: A column is missing.
        NotRunningError: Nothing listens at the address.
    """
    offer, watch, begun, ended = make_offer(options), Watch(options), Event(), Event()
    check_listening(options)
    if stop_on_eof:
        gevent.spawn(_at_end_of_input, offer, ended)
    environment = Environment(user_classes=[user_class(options, offer, begun, ended)], stop_timeout=1)
    runner = environment.create_local_runner()
    runner.start(options.user_count, spawn_rate=options.user_count)
    begin(offer, watch, begun, options.user_count, options.timeout_s)
    _wait_for_answers(runner, offer, options)
    run = finish(options, offer, watch)
    runner.quit()
    return run


def begin(offer: Offer, watch: Watch, begun: Event, users: int, timeout_s: float) -> None:
    """Start the clock once every connection is open, or has had its time to be."""
    waited_s = 0.0
    while offer.connected < users and waited_s < timeout_s + 1.0:
        gevent.sleep(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
    offer.start()
    watch.start(offer)
    begun.set()


def check_listening(options: LoadOptions) -> None:
    """A service that is not there is no slow service.

    Raises:
        NotRunningError: Nothing listens at the address.
    """
    address = urlsplit(options.url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        create_connection((address.hostname, port), timeout=options.timeout_s).close()
    except OSError as error:
        raise NotRunningError(
            f"nothing answers at {options.url}: {error}",
            expected="a gateway or model server",
            remedy="start it with `modelway serve`, or check --url",
        ) from error


def finish(options: LoadOptions, offer: Offer, watch: Watch) -> Run:
    """Count what the offer has kept."""
    vitals = watch.stop()
    requests, duration_s, cpu_share = offer.outcome()
    results = analyse(options, requests, offer.spans, vitals, duration_s=duration_s, cpu_share=cpu_share)
    return Run(requests, results)


def _wait_for_answers(runner: object, offer: Offer, options: LoadOptions) -> None:
    """Until every user has gone home, or for one time-out after the last request was due."""
    while getattr(runner, "user_count", 0) > 0:
        if offer.overdue_s > options.timeout_s + 1.0:
            return
        gevent.sleep(_LOOK_EVERY_S)


def _at_end_of_input(offer: Offer, ended: Event) -> None:
    """Wait on the pipe as on any socket: the other greenlets go on."""
    while True:
        wait_read(sys.stdin.fileno())
        if not os.read(sys.stdin.fileno(), 1024):
            offer.stop()
            ended.set()
            return
