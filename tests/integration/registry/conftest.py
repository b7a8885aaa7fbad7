"""A real MLflow store on SQLite, real bundles, a real audit log. MLflow's first start costs seconds."""

import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from mlflow import MlflowClient

from modelway.bundle.bundle import Bundle, write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Input, Signature
from modelway.contract import CostMatrix, Gates, Slo, Verdict
from modelway.evaluation import Evaluation, evaluate, gates
from modelway.registry.audit import AuditLog
from modelway.registry.governance import GovernancePolicy
from modelway.registry.registry import ModelVersion, Registry

KEY = Ed25519PrivateKey.generate()
LIMITS = Gates(min_roc_auc=0.6, min_rows=100, min_positives=10, max_calibration_error=0.5)
GOOD, BAD = 2.0, 0.0


def evaluation_of(skill: float) -> Evaluation:
    random = np.random.default_rng(5)
    y = (random.random(400) < 0.3).astype(int)
    odds = -0.85 + skill * (y - 0.3) + 0.5 * random.normal(size=400)
    return evaluate(
        y=y,
        scores=1 / (1 + np.exp(-odds)),
        threshold=0.4,
        costs=CostMatrix(false_positive=1, false_negative=2),
        seed=1,
        resamples=40,
        test_openings=1,
    )


EVALUATIONS = {skill: evaluation_of(skill) for skill in (GOOD, BAD)}


@dataclass
class Clock:
    """Every look at it is an hour later; `day` moves it on."""

    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(hours=1)
        return self.now

    def day(self, days: int) -> None:
        self.now += timedelta(days=days)


@dataclass
class Workshop:
    """A registry and what one needs to fill it."""

    root: Path
    tracking_uri: str
    clock: Clock = field(default_factory=Clock)
    policy: GovernancePolicy = field(default_factory=GovernancePolicy)

    @property
    def bundles(self) -> Path:
        return self.root / "bundles"

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.root / "audit.db")

    @property
    def registry(self) -> Registry:
        """A new object each time, as a new process would have."""
        return Registry(
            self.tracking_uri,
            self.bundles,
            self.audit,
            verify_key=self.verify_key,
            policy=self.policy,
            clock=self.clock,
        )

    @property
    def verify_key(self) -> Ed25519PublicKey:
        return KEY.public_key()

    @property
    def evaluation(self) -> Evaluation:
        return EVALUATIONS[GOOD]

    @property
    def verdict(self) -> Verdict:
        return gates(self.evaluation, LIMITS)

    def bundle(self, name: str, seed: int, *, snapshot_id: str = "s" * 64, **extras: bytes) -> Bundle:
        return write_bundle(
            self.bundles,
            onnx=f"graph {seed}".encode(),
            signature=Signature(
                model_name=name,
                key="loan_id",
                label="charged_off",
                inputs=(Input(name="amount", kind="numeric"),),
                threshold=0.4,
            ),
            reference=b"rows",
            slo=Slo(latency_limit_ms=25, rate_rps=50),
            card="# card\n",
            lineage=Lineage(
                use_case=name,
                snapshot_id=snapshot_id,
                as_of=datetime(2005, 1, 1, tzinfo=UTC),
                kind="hgb",
                seed=seed,
            ),
            key=KEY,
            extras={file.replace("_", "."): content for file, content in extras.items()},
        )

    def register(self, name: str, seed: int, *, good: bool = True) -> ModelVersion:
        found = EVALUATIONS[GOOD if good else BAD]
        return self.registry.register(
            self.bundle(name, seed), evaluation=found, verdict=gates(found, LIMITS), run_id="r", who="ci"
        )

    def promoted(self, name: str, seed: int) -> ModelVersion:
        version = self.register(name, seed)
        return self.registry.promote(name, version.version, who="ada", why=f"better than before: {seed}")


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables, to be copied: making one takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}", f"sqlite:///{path}").search_registered_models()
    return path


@pytest.fixture
def workshop(tmp_path: Path, empty_store: Path) -> Workshop:
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return Workshop(root=tmp_path, tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


@pytest.fixture
def mlflow_client(workshop: Workshop) -> Any:
    return MlflowClient(workshop.tracking_uri, workshop.tracking_uri)
