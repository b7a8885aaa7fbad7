"""From a folder to a model that answers: verify, load, warm up."""

import os
import socket
from pathlib import Path

from modelway.bundle.bundle import Bundle
from serving.runtime.model import Model
from serving.runtime.net.turn import Turn
from serving.runtime.prediction_log import PredictionLog
from serving.runtime.prediction_table import parquet_writer
from serving.runtime.served import Served
from serving.runtime.settings import Settings


class Opening:
    """Opens bundles with what the process was told.

    The prediction log of a bundle is kept for the life of the process: what was under way when it was
    unloaded is still written, and after the next load it goes on.
    """

    def __init__(
        self, verify_key: Path, settings: Settings, log_dir: Path | None, turn: Turn | None = None
    ) -> None:
        """Nothing is opened yet.

        Args:
            verify_key: PEM of the key that must have signed every bundle.
            settings: Limits and the like.
            log_dir: Of the prediction logs; None keeps none.
            turn: Of the loop that will bring the requests.
        """
        self._verify_key, self._settings, self._log_dir = verify_key, settings, log_dir
        self._turn = turn
        self._logs: dict[tuple[str, str, str], PredictionLog] = {}

    def __call__(self, folder: Path, revision: str) -> Served:
        """A model that is warm.

        Raises:
            BundleRejectedError: The bundle does not hold, or its graph is not what it says.
            StorageError: The prediction log cannot be written.
            ConfigError: The key is none, or the settings do not fit the bundle.
        """
        bundle = Bundle.open(folder, verify_key=self._verify_key)
        log = self._log(bundle, revision)
        served = Served(bundle, revision, Model(bundle), log, settings=self._settings, turn=self._turn)
        served.warm_up()
        return served

    def _log(self, bundle: Bundle, revision: str) -> PredictionLog | None:
        if self._log_dir is None:
            return None
        key = (bundle.signature.model_name, revision, bundle.digest)
        if key not in self._logs:
            self._logs[key] = PredictionLog(
                self._log_dir, self._prefix(revision), parquet_writer(bundle, revision)
            )
            self._logs[key].start()
        return self._logs[key]

    def _prefix(self, revision: str) -> str:
        """Of file names; two models may each have a version `1`, and two bundles the same of both."""
        taken = sum(known[1] == revision for known in self._logs)
        unique = f"-{taken}" if taken else ""
        # In containers the first process is number 1, and its workers have the same numbers everywhere: the
        # host's name, which is the pod's, tells them apart.
        contained = 1 in {os.getpid(), os.getppid()}
        process = f"{socket.gethostname()}.{os.getpid()}" if contained else os.getpid()
        return f"{revision}-{process}{unique}"
