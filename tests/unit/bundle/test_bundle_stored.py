"""What the bundles in a folder were made from, read off the folder alone."""

import pytest

from modelway.bundle.bundle import LINEAGE_FILE, write_bundle
from modelway.bundle.stored import bundles_by_snapshot
from modelway.errors import BundleRejectedError


def test_every_bundle_is_found_below_its_snapshot_and_nothing_else_is(folder, parts):
    first = write_bundle(folder, **parts)
    twin = write_bundle(folder, **{**parts, "onnx": b"another graph"})
    lineage = parts["lineage"].model_copy(update={"snapshot_id": "6" * 64})
    other = write_bundle(folder, **{**parts, "lineage": lineage})
    (folder / f".pruned-{first.digest}").mkdir()
    (folder / "notes.txt").write_text("mine")

    assert bundles_by_snapshot(folder) == {
        "5" * 64: sorted([first.digest, twin.digest]),
        "6" * 64: [other.digest],
    }


def test_no_folder_holds_no_bundle(folder):
    assert bundles_by_snapshot(folder) == {}


@pytest.mark.parametrize("content", [None, b"{}", b"no json"])
def test_a_bundle_that_does_not_say_what_it_was_made_from_is_an_error(folder, parts, content):
    lineage = write_bundle(folder, **parts).path / LINEAGE_FILE
    lineage.unlink()
    if content is not None:
        lineage.write_bytes(content)

    with pytest.raises(BundleRejectedError, match="lineage"):
        bundles_by_snapshot(folder)
