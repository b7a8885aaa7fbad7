"""One console line per log record, and ZenML's records in Prefect's pages."""

import logging
import os
from functools import cache

from prefect.logging.handlers import APILogHandler, PrefectConsoleHandler
from zenml.logger import ZenMLConsoleHandler

_CHATTY = ("httpx", "httpcore", "alembic", "mlflow")


@cache
def unify_logs() -> None:
    """Let Prefect print and ZenML store, each once.

    ZenML wraps `sys.stderr.write` to store what a step writes, and Prefect's console handler writes there:
    untouched, each record is shown twice and stored a second time as an error.
    """
    root = logging.getLogger()
    prefect_handlers = [h for h in root.handlers if isinstance(h, PrefectConsoleHandler)]
    for handler in prefect_handlers:
        handler.console.file = os.fdopen(os.dup(2), "w", buffering=1)
    if prefect_handlers:
        root.handlers = [h for h in root.handlers if not isinstance(h, ZenMLConsoleHandler)]
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("zenml").addHandler(APILogHandler())
