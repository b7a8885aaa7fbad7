import pytest

from modelway.data.snapshot import FolderSnapshotStore


@pytest.fixture
def store(request: pytest.FixtureRequest) -> FolderSnapshotStore:
    """An empty store in memory, reached through fsspec."""
    return FolderSnapshotStore(f"memory://{request.node.nodeid}")
