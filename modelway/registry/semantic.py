"""Semantic versions: how much changed against the version registered before. Pure.

MAJOR: callers must change (the signature). MINOR: it learnt from other data, or otherwise. PATCH: the same
training, written down anew. The form is that of semver.org 2.0.0, without labels.
"""

import hashlib
from collections.abc import Iterable

from modelway.bundle.canonical import canonical_json
from modelway.bundle.lineage import Lineage
from modelway.bundle.signature import Signature
from modelway.contract import Frozen

FIRST = "1.0.0"

_ORIGIN = {
    "use_case",
    "snapshot_id",
    "as_of",
    "kind",
    "params",
    "seed",
    "calibrator",
    "training_set_sha256",
    "training_rows",
    "window_months",
    "replay",
}
"""What the lineage says of the training itself; commit, lock file and libraries are its tools."""


class Identity(Frozen):
    """What two versions are compared by."""

    interface: str
    """sha256 of what a caller sees: names, order and kinds of the inputs, key and label. A category's
    vocabulary is learnt and an unknown value is no error, so it is no part of it; nor is the threshold."""
    origin: str
    """sha256 of data, kind, parameters, seed, the way of calibrating and the formulas of derived features."""


def identity_of(signature: Signature, lineage: Lineage) -> Identity:
    """The identity of a bundle."""
    made = tuple((each.name, each.formula) for each in signature.derived)
    origin = _sha256(_origin(lineage), repr(made).encode() if made else b"")
    return Identity(interface=_sha256(_Interface.of(signature)), origin=origin)


def successor(before: str, old: Identity, new: Identity) -> str:
    """The semantic version after `before`.

    Args:
        before: MAJOR.MINOR.PATCH.
        old: Identity of that version.
        new: Identity of the next one.
    """
    major, minor, patch = (int(part) for part in before.split("."))
    if new.interface != old.interface:
        return f"{major + 1}.0.0"
    return f"{major}.{minor + 1}.0" if new.origin != old.origin else f"{major}.{minor}.{patch + 1}"


def next_semantic(line: Iterable[tuple[str, Identity]], new: Identity) -> str:
    """The version that follows the last of a line, oldest first; the first one of an empty line."""
    *_, last = (None, *line)
    return FIRST if last is None else successor(*last, new)


class _Interface(Frozen):
    model_name: str
    key: str
    label: str
    inputs: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, signature: Signature) -> "_Interface":
        """What of a signature callers rely on."""
        inputs = tuple((column.name, column.kind) for column in signature.inputs)
        return cls(model_name=signature.model_name, key=signature.key, label=signature.label, inputs=inputs)


def _origin(lineage: Lineage) -> Lineage:
    told = {name: getattr(lineage, name) for name in _ORIGIN}
    return Lineage(**told)


def _sha256(found: Frozen, more: bytes = b"") -> str:
    return hashlib.sha256(canonical_json(found) + more).hexdigest()
