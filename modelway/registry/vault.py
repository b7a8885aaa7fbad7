"""The files behind registered versions: bundles below their digest, evaluations beside them.

<bundles>/<digest>/                          the signed bundle
<bundles>/../evaluations/<name>/<version>/   evaluation.json, verdict.json, report.html and .json
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import VERIFY_KEY_FILE, VerifyKey
from modelway.contract import Outcome, Reason, Verdict
from modelway.errors import BundleRejectedError, ConfigError, NotFoundError, StorageError
from modelway.evaluation.record import Evaluation
from modelway.evaluation.report import render_report
from modelway.evaluation.twin import report_json
from modelway.home import Home
from modelway.registry.ledger import Record

EVALUATION_FILE = "evaluation.json"
VERDICT_FILE = "verdict.json"
REPORT_FILE = "report.html"
TWIN_FILE = "report.json"
"""The same as the page, for machines."""


def _json(found: BaseModel) -> bytes:
    """One byte form, for people too. A number that is none becomes null: strict JSON has no NaN."""
    content = json.loads(found.model_dump_json())
    return json.dumps(content, sort_keys=True, indent=2, ensure_ascii=False).encode() + b"\n"


def evaluation_sha256(evaluation: Evaluation) -> str:
    """Identity of an evaluation by content."""
    return hashlib.sha256(_json(evaluation)).hexdigest()


class Vault:
    """Bundles and evaluations on one file system."""

    def __init__(self, bundles: Path, verify_key: VerifyKey | None) -> None:
        """Remember where the files lie, and the key that must have signed them; None: the home's."""
        self.bundles = bundles
        self._verify_key = verify_key

    def open(self, digest: str) -> Bundle:
        """The bundle of that digest, verified now.

        Raises:
            BundleRejectedError: It is missing, altered, or another one lies in its place.
        """
        key = self._verify_key or Home.current().keys / VERIFY_KEY_FILE
        bundle = Bundle.open(self.bundles / digest, verify_key=key)
        if bundle.digest != digest:
            raise BundleRejectedError(
                f"the folder of bundle {digest[:12]} holds bundle {bundle.digest[:12]}",
                expected="the bundle that was registered",
                remedy="put the registered bundle back, or register this one",
            )
        return bundle

    def check_place(self, bundle: Bundle) -> None:
        """Refuse a bundle that lies anywhere but here.

        Raises:
            ConfigError: It does.
        """
        if bundle.path != (self.bundles / bundle.digest).resolve():
            raise ConfigError(
                f"the bundle lies in {bundle.path}",
                expected=f"{self.bundles / bundle.digest}",
                remedy="write it with write_bundle(stacks.active.bundles_folder(), …)",
            )

    def evaluation_folder(self, name: str, version: int) -> Path:
        """Where a version's evaluation lies."""
        return self.bundles.parent / "evaluations" / name / str(version)

    def keep(
        self, name: str, version: int, *, bundle: Bundle, evaluation: Evaluation, verdict: Verdict
    ) -> None:
        """Write a version's evaluation, verdict and report, each whole or not at all.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        folder = self.evaluation_folder(name, version)
        lineage = {"bundle": bundle.digest, **bundle.lineage.model_dump(mode="json", exclude={"metrics"})}
        title = f"{name}, version {version}"
        page = render_report(evaluation, verdict, title=title, lineage=lineage)
        twin = report_json(evaluation, verdict, title=title, lineage=lineage)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _replace(folder / VERDICT_FILE, _json(verdict))
            _replace(folder / REPORT_FILE, page.encode())
            _replace(folder / TWIN_FILE, twin.encode())
            _replace(folder / EVALUATION_FILE, _json(evaluation))
        except OSError as error:
            raise StorageError(
                f"cannot write the evaluation to {folder}: {error.strerror or error}",
                expected="free space and a writable folder",
                remedy="free some space and run it again; nothing was registered",
            ) from error

    def evaluation(self, name: str, version: int) -> Evaluation:
        """A version's newest evaluation.

        Raises:
            NotFoundError: Its file is gone.
        """
        path = self.evaluation_folder(name, version) / EVALUATION_FILE
        try:
            return Evaluation.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise NotFoundError(
                f"the evaluation of {name}@{version} is gone",
                expected=str(path),
                remedy="register the bundle again with its evaluation",
            ) from error

    def check_bundle(self, record: Record) -> Reason:
        """Whether the registered bundle is there, every byte of it."""
        try:
            bundle = self.open(record.digest)
        except BundleRejectedError as error:
            return Reason(metric="bundle", outcome=Outcome.FAIL, message=error.found)
        files = len(bundle.manifest.files)
        message = f"bundle {record.digest[:12]}: {files} files and the signature hold"
        return Reason(metric="bundle", outcome=Outcome.PASS, message=message, samples=files)

    def check_evaluation(self, name: str, record: Record) -> Reason:
        """Whether the evaluation is the one that was registered."""
        path = self.evaluation_folder(name, record.version) / EVALUATION_FILE
        if not path.is_file():
            return Reason(metric="evaluation", outcome=Outcome.FAIL, message="the evaluation is missing")
        same = hashlib.sha256(path.read_bytes()).hexdigest() == record.evaluation_sha256
        message = "the evaluation is the registered one" if same else "the evaluation was altered"
        return Reason(metric="evaluation", outcome=Outcome.PASS if same else Outcome.FAIL, message=message)


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o644)  # a report is for everyone to read
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
