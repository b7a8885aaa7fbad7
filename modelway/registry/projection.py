"""MLflow as the shop window of the decisions: tags and aliases say what the audit log says."""

from modelway.contract import Outcome, Reason
from modelway.registry.ledger import Ledger
from modelway.registry.versions import DIGEST_TAG, StoredVersion, VersionStore

STAGE_TAG = "modelway.stage"
VERDICT_TAG = "modelway.verdict"
SEMANTIC_TAG = "modelway.semantic"
ALIASES = ("champion", "challenger")


class Projection:
    """Shows ledgers in one MLflow store, and says where the store shows something else."""

    def __init__(self, store: VersionStore) -> None:
        """Remember the store."""
        self._store = store

    def settle(self, ledger: Ledger) -> None:
        """Make MLflow show what was decided; nothing is written where it does already."""
        for stored in self._store.versions(ledger.name):
            self._store.set_tags(ledger.name, stored.version, _changed_tags(ledger, stored))
        for alias, version in self._changed_aliases(ledger).items():
            self._store.set_alias(ledger.name, alias, version)
        if self._store.entry(ledger.name) < ledger.last_entry:
            self._store.note_entry(ledger.name, ledger.last_entry)

    def lost(self, ledger: Ledger) -> str:
        """What MLflow shows that the log no longer holds, in words; empty where nothing is missing."""
        shown = self._store.entry(ledger.name)
        if shown > ledger.last_entry:
            newest = f"its newest one is {ledger.last_entry}" if ledger.last_entry else "it has none"
            return f"decision {shown} on {ledger.name} was shown in MLflow, but is not in the log: {newest}"
        if not ledger.last_entry and (aliases := self._store.aliases(ledger.name)):
            return (
                f"MLflow shows a {' and a '.join(sorted(aliases))} of {ledger.name}, the log has no decision"
            )
        return ""

    def check(self, ledger: Ledger) -> Reason:
        """Whether MLflow shows what was decided. Changes nothing."""
        off = [f"alias {alias}" for alias in self._changed_aliases(ledger)]
        for stored in self._store.versions(ledger.name):
            off += [f"{tag} of version {stored.version}" for tag in _changed_tags(ledger, stored)]
        message = (
            f"MLflow shows otherwise than was decided: {', '.join(off)}; `modelway models list` puts it back"
            if off
            else "MLflow shows what was decided"
        )
        outcome = Outcome.FAIL if off else Outcome.PASS
        return Reason(metric="mlflow", outcome=outcome, message=message, found=len(off), limit=0)

    def _changed_aliases(self, ledger: Ledger) -> dict[str, int | None]:
        """Aliases that MLflow has otherwise; None: to be taken away."""
        shown, wanted = self._store.aliases(ledger.name), ledger.aliases
        return {alias: wanted.get(alias) for alias in ALIASES if shown.get(alias) != wanted.get(alias)}


def _changed_tags(ledger: Ledger, stored: StoredVersion) -> dict[str, str]:
    """Tags that a version lacks or has otherwise; none for a version that no decision knows."""
    record = ledger.records.get(stored.version)
    if record is None:
        return {}
    wanted = {
        DIGEST_TAG: record.digest,
        STAGE_TAG: ledger.shelf.stages[stored.version].value,
        VERDICT_TAG: record.verdict.outcome.value,
    }
    wanted |= {SEMANTIC_TAG: record.semantic} if record.semantic else {}
    return {tag: value for tag, value in wanted.items() if stored.tags.get(tag) != value}
