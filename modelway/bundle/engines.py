"""Compiled engines inside a bundle: what each was made of and for, so that a server can tell whether it fits.

engines.json            the list
engine-<id>.plan        one compiled engine; MANIFEST.json holds its sha256 like every file's
"""

import hashlib
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from modelway.bundle.bundle import MODEL_FILE, Bundle
from modelway.bundle.canonical import canonical_json
from modelway.bundle.manifest import rejected
from modelway.contract import Frozen

ENGINES_FILE = "engines.json"

Module = Literal["tensorrt_rtx", "tensorrt"]
Precision = Literal["fp32", "fp16", "bf16", "int8"]


class Profile(Frozen):
    """How many rows one call may bring, and for how many the engine is tuned."""

    min_rows: int = Field(default=1, ge=1)
    opt_rows: int = Field(default=64, ge=1)
    max_rows: int = Field(default=1024, ge=1)

    @classmethod
    def up_to(cls, max_rows: int) -> "Profile":
        """From one row on; tuned for 64, or for the most when that is fewer."""
        return cls(opt_rows=min(64, max_rows), max_rows=max_rows)

    @model_validator(mode="after")
    def _ordered(self) -> "Profile":
        if not self.min_rows <= self.opt_rows <= self.max_rows:
            raise ValueError(f"rows must ascend: {self.min_rows}, {self.opt_rows}, {self.max_rows}")
        return self


class EngineFingerprint(Frozen):
    """All that decides whether an engine runs here and answers for this graph."""

    module: Module
    """Python module that built it and that must load it."""
    version: str
    """Of that module; another version refuses the engine."""
    arch: str = Field(pattern=r"^sm[0-9]{2,3}$")
    """GPU architecture, e.g. sm89."""
    precision: Precision
    profile: Profile
    graph_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the bundle's model.onnx."""
    network_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the graph that was compiled: trees in tensor form, products in the precision."""
    limit: float = Field(gt=0)
    """Largest |probability difference| to the bundle's graph; a server holds the engine to it, too."""

    @property
    def id(self) -> str:
        """Sixteen hex digits over all fields."""
        return hashlib.sha256(canonical_json(self)).hexdigest()[:16]

    @property
    def file(self) -> str:
        """The engine's name in a bundle."""
        return f"engine-{self.id}.plan"


class Engines(Frozen):
    """The content of engines.json."""

    format: Literal["modelway-engines/1"] = "modelway-engines/1"
    engines: tuple[EngineFingerprint, ...] = Field(min_length=1)


def engines_of(bundle: Bundle) -> tuple[EngineFingerprint, ...]:
    """The engines that a bundle carries; most carry none.

    Raises:
        BundleRejectedError: engines.json cannot be read, names an engine that is not there, or one
            that was made from another graph.
    """
    if ENGINES_FILE not in bundle.manifest.files:
        return ()
    try:
        listed = Engines.model_validate_json(bundle.read(ENGINES_FILE)).engines
    except ValidationError as error:
        raise rejected(
            ENGINES_FILE, f"does not say what this version reads: {error.errors()[0]['msg']}"
        ) from error
    for engine in listed:
        if engine.file not in bundle.manifest.files:
            raise rejected(engine.file, f"is listed in {ENGINES_FILE} and missing")
        if engine.graph_sha256 != bundle.manifest.files[MODEL_FILE].sha256:
            raise rejected(engine.file, f"was made from another graph than {MODEL_FILE}")
    return listed
