"""Which models were measured on which test rows: the best of many on the same rows is partly the luckiest.

Kept in the audit log, so that nobody can measure a twenty-first model and forget the other twenty.
"""

from modelway.errors import TransitionError
from modelway.registry.audit import AuditEntry, AuditLog

OPENED = "test.opened"
_ATTEMPTS = 10
"""Another process may open the same rows meanwhile; each attempt reads what it wrote."""


def open_test(audit: AuditLog, rows_sha256: str, model_sha256: str, *, model: str, who: str) -> int:
    """Note that a model is about to be measured on these rows, and count the models that were.

    Written before the rows are read, so that a killed run counts too. A model that was measured on them
    already is not counted again. The champion beside a candidate is not counted: nothing is chosen by it.

    Args:
        audit: The log of decisions.
        rows_sha256: Identity of the test rows by content.
        model_sha256: Identity of the graph that is measured.
        model: Name of the use case, for readers.
        who: Person or program.

    Returns:
        How many different models were measured on these rows, this one too.

    Raises:
        StorageError: The log cannot be written.
        TransitionError: Others keep opening the same rows at the same moment.
    """
    subject, evidence = f"test:{rows_sha256}", {"model": model, "model_sha256": model_sha256}
    why = f"measure {model} {model_sha256[:12]} on held-out rows"
    for attempt in range(_ATTEMPTS):
        entries = audit.entries(subject)
        seen = _models(entries)
        if model_sha256 in seen:
            break
        try:
            audit.append(OPENED, subject, who=who, why=why, evidence=evidence, after=_last(entries))
        except TransitionError:
            if attempt == _ATTEMPTS - 1:
                raise
    return len(_models(audit.entries(subject)))


def _last(entries: tuple[AuditEntry, ...]) -> int:
    return entries[-1].id if entries else 0


def _models(entries: tuple[AuditEntry, ...]) -> set[str]:
    return {str(entry.evidence["model_sha256"]) for entry in entries if entry.event == OPENED}
