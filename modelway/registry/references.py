"""Which snapshots the registered models were made from."""

from modelway.registry.model_version import ModelVersion
from modelway.registry.registry import Registry


def versions_by_snapshot(registry: Registry) -> dict[str, list[ModelVersion]]:
    """Snapshot id -> the versions made from it, archived ones included: they can be rolled back to.

    Versions whose bundle was pruned are left out: nothing is made from them any more.

    Raises:
        BundleRejectedError: A bundle cannot be read; what it was made from is then not known.
    """
    uses: dict[str, list[ModelVersion]] = {}
    for version in (each for each in registry.list() if each.pruned is None):
        lineage = registry.bundle(version.name, version.version).lineage
        uses.setdefault(lineage.snapshot_id, []).append(version)
    return uses
