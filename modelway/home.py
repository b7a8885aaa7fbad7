"""Where a checkout keeps its state: `.modelway/`, or `MODELWAY_HOME`. Nothing goes to the user's home."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below the state folder. Making one creates nothing."""

    root: Path

    @classmethod
    def current(cls) -> "Home":
        """`MODELWAY_HOME` when set, else `.modelway` in the working directory."""
        return cls(Path(os.environ.get("MODELWAY_HOME") or ".modelway").resolve())

    @property
    def zenml(self) -> Path:
        """ZenML's configuration and database."""
        return self.root / "zenml"

    @property
    def prefect(self) -> Path:
        """Prefect's home: profiles and database."""
        return self.root / "prefect"

    @property
    def keys(self) -> Path:
        """Signing keys, readable by the owner alone."""
        return self.root / "keys"

    @property
    def audit(self) -> Path:
        """The hash-chained audit log, SQLite."""
        return self.root / "audit.db"

    @property
    def logs(self) -> Path:
        """Log files of the processes we start."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """Process ids and addresses of what is running."""
        return self.root / "run"

    @property
    def reports(self) -> Path:
        """HTML and JSON reports for people."""
        return self.root / "reports"

    @property
    def studies(self) -> Path:
        """Hyper-parameter searches that processes share and go on with, one folder each."""
        return self.root / "studies"

    def stack(self, name: str) -> Path:
        """Local storage of one stack: artifacts, tracking database, feature store, serving."""
        return self.root / "stacks" / name

    def exports(self) -> Mapping[str, str]:
        """Environment variables that make ZenML and Prefect use this home."""
        return {
            "MODELWAY_HOME": str(self.root),
            "ZENML_CONFIG_PATH": str(self.zenml),
            "ZENML_ANALYTICS_OPT_IN": "false",
            "ZENML_PARAMETER_SIZE_THRESHOLD": "4096",
            "PREFECT_HOME": str(self.prefect),
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            "FEAST_USAGE": "False",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
