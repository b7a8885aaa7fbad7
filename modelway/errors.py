"""The one error tree.

    ModelwayError                       exit code
    ├── InputError                      2   what the user gave cannot be used
    │   ├── ConfigError                     a configuration file or parameter is wrong
    │   ├── UnknownUseCaseError             no use case of that name is installed
    │   ├── SourceError                     the data source is missing, empty or unreadable
    │   ├── ContractError                   the data does not have the shape the contract promises
    │   ├── EmptyWindowError                no row is left in the window asked for
    │   ├── DegenerateColumnError           a feature has no value at all in the window
    │   ├── UnsupportedGraphError           the graph holds what the target cannot express
    │   └── NotFoundError                   no such snapshot, model, version, rollout
    ├── VerdictError                    1   a gate, a load test or a rollout decided "no"
    │   ├── GateError
    │   ├── ApprovalError
    │   ├── ParityError
    │   ├── SloBreachError
    │   └── RolloutError
    ├── IntegrityError                  3   stored bytes are not the bytes that were stored
    │   ├── SnapshotCorruptError
    │   ├── BundleRejectedError
    │   └── AuditBrokenError
    └── InfrastructureError             3   the machine or a service said no
        ├── PortInUseError
        ├── StorageError
        ├── EngineError                     TensorRT cannot build or load an engine here
        ├── TransitionError                 the state machine does not allow this step now
        └── TransientError                  the same call may succeed later; only these are retried
            ├── NotRunningError
            ├── NotReadyError
            └── ConflictError               somebody else changed the object meanwhile

Each error says three things: what was found, what was expected, what to do. Foreign exceptions are
mapped where they enter, with `raise … from`.
"""

from typing import Any, ClassVar


def _rebuild(cls: type["ModelwayError"], state: dict[str, Any]) -> "ModelwayError":
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, str(state["found"]))
    return error


class ModelwayError(Exception):
    """Base of every error Modelway raises on purpose.

    Attributes:
        found: What was found, in one line.
        expected: What was expected instead.
        remedy: What the reader can do about it.
    """

    exit_code: ClassVar[int] = 3

    def __init__(self, found: str, *, expected: str = "", remedy: str = "") -> None:
        """Keep the three lines apart, so that a terminal and an API can each show them."""
        super().__init__(found)
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        """The three lines, the empty ones left out."""
        lines = [self.found]
        lines += [f"expected: {self.expected}"] if self.expected else []
        lines += [f"to do: {self.remedy}"] if self.remedy else []
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive pickling whatever the constructor: errors cross process borders."""
        return _rebuild, (type(self), dict(self.__dict__))


class InputError(ModelwayError):
    """What the user gave cannot be used as it is."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration file, environment variable or flow parameter is wrong."""


class UnknownUseCaseError(InputError):
    """No installed package offers a use case of that name."""


class SourceError(InputError):
    """The data source is missing, empty or not readable."""


class ContractError(InputError):
    """The data does not have the columns or types that its contract promises."""


class EmptyWindowError(InputError):
    """No row is left in the time window asked for."""


class DegenerateColumnError(InputError):
    """A feature column holds no value at all in the window asked for."""


class UnsupportedGraphError(InputError):
    """A graph holds something that the target cannot express; the message names the node."""


class NotFoundError(InputError):
    """No snapshot, model, version or rollout of that name exists."""


class VerdictError(ModelwayError):
    """A gate, a load test or a rollout looked at the evidence and said no."""

    exit_code = 1


class GateError(VerdictError):
    """The evaluation gates did not pass."""


class ApprovalError(VerdictError):
    """The stack's rules for production are not kept: an approval or a piece of evidence is missing."""


class ParityError(VerdictError):
    """The exported graph does not answer like the model it was exported from."""


class SloBreachError(VerdictError):
    """A load test measured more latency or errors than the SLO allows."""


class RolloutError(VerdictError):
    """A rollout ended in rollback or abort."""


class IntegrityError(ModelwayError):
    """Stored bytes are not the bytes that were stored."""


class SnapshotCorruptError(IntegrityError):
    """A data snapshot's file does not match its manifest."""


class BundleRejectedError(IntegrityError):
    """A bundle is unsigned, altered or incomplete."""


class AuditBrokenError(IntegrityError):
    """The audit log's hash chain does not hold."""


class InfrastructureError(ModelwayError):
    """The machine or a service said no."""


class PortInUseError(InfrastructureError):
    """Another process already listens on the port."""


class StorageError(InfrastructureError):
    """The disk is full, read-only or not reachable."""


class EngineError(InfrastructureError):
    """TensorRT is missing, or cannot build, load or run an engine on this machine."""


class TransitionError(InfrastructureError):
    """The state machine does not allow this step from the present state."""


class TransientError(InfrastructureError):
    """The same call may succeed later. Retried where it is raised; nothing else is."""


class NotRunningError(TransientError):
    """A service that is needed does not answer."""


class NotReadyError(TransientError):
    """A service or revision did not become ready in time."""


class ConflictError(TransientError):
    """Somebody else changed the object between reading and writing: read it again, decide again."""
