"""One console line per log record, and ZenML's records in Prefect's pages."""

import logging
import os
from copy import copy
from functools import cache
from typing import TextIO

from prefect.events.clients import NullEventsClient
from prefect.events.worker import EventsWorker
from prefect.logging.formatters import PrefectFormatter
from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
from zenml.logger import ZenMLConsoleHandler

from modelway.errors import ModelwayError

OURS = frozenset({"prefect", "modelway", "flows", "steps", "stacks", "serving", "loadtests", "usecases"})
"""Loggers whose information is for people. Everyone else's is stored; only warnings reach the console."""

_LEVEL = "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"
"""Prefect's own name for the least level that its console shows."""

_DRAIN_LIMIT_S = 10.0

_PREFIX = "%(asctime)s | %(levelname)-7s | "


@cache
def unify_logs() -> None:
    """Let one handler print, whatever was imported first; ZenML stores them, Prefect's pages show them.

    ZenML wraps `sys.stderr.write` to store what a step writes, and Prefect's console handler writes there:
    untouched, each record is shown twice and stored a second time as an error.
    """
    root = logging.getLogger()
    printing = (PrefectConsoleHandler, ZenMLConsoleHandler)
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, printing)]
    root.addHandler(_console(os.fdopen(os.dup(2), "w", buffering=1)))
    logging.getLogger("zenml").addHandler(APILogHandler())


def flush_logs() -> None:
    """Send what is still queued for Prefect's pages. For a process that is about to stop the server."""
    APILogHandler().flush()


def hang_up() -> None:
    """Send what is queued for Prefect's server, and nothing later. For a process that is about to stop it.

    An event that finds no server keeps the process at its end for two minutes: eleven attempts, each with
    eleven connections a second apart.
    """
    EventsWorker.set_client_override(NullEventsClient)
    EventsWorker.drain_all(timeout=_DRAIN_LIMIT_S)
    flush_logs()


def _console(unwrapped_stderr: TextIO) -> logging.Handler:
    handler = PrefectConsoleHandler(unwrapped_stderr)
    handler.setFormatter(
        _Formatter(
            f"{_PREFIX}%(name)s - %(message)s",
            datefmt="%H:%M:%S",
            flow_run_fmt=f"{_PREFIX}flow %(flow_name)s - %(message)s",
            task_run_fmt=f"{_PREFIX}step %(task_run_name)s - %(message)s",
        )
    )
    handler.addFilter(_for_people)
    handler.setLevel(os.environ.get(_LEVEL, "NOTSET"))
    return handler


class _Formatter(PrefectFormatter):
    """An error that says what to do needs no stack on the console; Prefect's pages keep it."""

    def format(self, record: logging.LogRecord) -> str:
        """As Prefect's, without the stack of an error that says itself what to do."""
        if record.exc_info and isinstance(record.exc_info[1], ModelwayError):
            record = copy(record)  # the handlers after this one show the stack
            record.exc_info = record.exc_text = None
        return str(super().format(record))


def _for_people(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OURS
