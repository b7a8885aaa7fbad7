"""Which bundles lie in a folder, and what they were made from, whoever knows of them."""

import re
from pathlib import Path

from pydantic import ValidationError

from modelway.bundle.bundle import LINEAGE_FILE
from modelway.bundle.lineage import Lineage
from modelway.bundle.manifest import read_plain, rejected

_DIGEST = re.compile(r"[0-9a-f]{64}")


def bundles_by_snapshot(folder: Path) -> dict[str, list[str]]:
    """Snapshot id -> digests of the bundles that say they were made from it.

    Their signatures are not checked: an altered bundle can only make more snapshots stay.

    Args:
        folder: Where bundles lie below their digests; anything else in it is left alone. None need be there.

    Raises:
        BundleRejectedError: A bundle does not say what it was made from.
    """
    found: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _DIGEST.fullmatch(path.name):
            found.setdefault(_lineage(path).snapshot_id, []).append(path.name)
    return found


def _lineage(bundle: Path) -> Lineage:
    try:
        return Lineage.model_validate_json(read_plain(bundle / LINEAGE_FILE))
    except ValidationError as error:
        raise rejected(f"{bundle.name[:12]}/{LINEAGE_FILE}", "cannot be read") from error
