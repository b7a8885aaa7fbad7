"""What was made from what: snapshots, the snapshots they came from, and the models made from them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from modelway.contract import Frozen
from modelway.data.manifest import Snapshot


class Node(Frozen):
    """A snapshot and all that hangs on it."""

    snapshot: Snapshot
    models: tuple[str, ...]
    """What was made from it, in words: `credit@3 (Production)`."""
    children: tuple["Node", ...]
    """Snapshots made from it. One with several parents hangs below each."""

    @property
    def label(self) -> str:
        """One line."""
        found = self.snapshot
        return f"{found.short_id}  {found.use_case}  {found.rows:,} rows  from {found.source}"


def lineage_graph(snapshots: Sequence[Snapshot], models: Mapping[str, Sequence[str]]) -> tuple[Node, ...]:
    """The roots: snapshots made from no snapshot that is still there.

    Args:
        snapshots: The oldest first.
        models: Snapshot id -> what was made from it.
    """
    known = {snapshot.id for snapshot in snapshots}
    children: dict[str, list[Snapshot]] = {}
    for snapshot in snapshots:
        for parent in set(snapshot.parents) & known:
            children.setdefault(parent, []).append(snapshot)

    def grown(snapshot: Snapshot) -> Node:
        return Node(
            snapshot=snapshot,
            models=tuple(models.get(snapshot.id, ())),
            children=tuple(map(grown, children.get(snapshot.id, ()))),
        )

    return tuple(grown(snapshot) for snapshot in snapshots if not set(snapshot.parents) & known)


def as_lines(nodes: Iterable[Node], indent: str = "") -> Iterator[str]:
    """The graph for a terminal."""
    for node in nodes:
        yield f"{indent}{node.label}"
        yield from (f"{indent}  => {model}" for model in node.models)
        yield from as_lines(node.children, f"{indent}  ")
