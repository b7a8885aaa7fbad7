from modelway.contract import Outcome, Verdict
from modelway.data.lineage_graph import as_lines, lineage_graph
from modelway.data.manifest import Snapshot


def snapshot(name: str, *parents: str) -> Snapshot:
    return Snapshot(
        id=name * 64,
        use_case="parcels",
        source=f"{name}.csv",
        contract_version="1.0",
        key="parcel",
        clocks={},
        columns={},
        rows=1000,
        files=(),
        quarantined=0,
        quarantine_files=(),
        parents=tuple(parent * 64 for parent in parents),
        contract=Verdict(outcome=Outcome.PASS),
    )


def test_a_snapshot_stands_below_what_it_was_made_from_with_its_models() -> None:
    graph = lineage_graph(
        [snapshot("a"), snapshot("b", "a"), snapshot("c", "b"), snapshot("d")],
        {"b" * 64: ["parcels@1 (Production)", "parcels@2 (Archived)"]},
    )

    assert list(as_lines(graph)) == [
        "aaaaaaaaaaaa  parcels  1,000 rows  from a.csv",
        "  bbbbbbbbbbbb  parcels  1,000 rows  from b.csv",
        "    => parcels@1 (Production)",
        "    => parcels@2 (Archived)",
        "    cccccccccccc  parcels  1,000 rows  from c.csv",
        "dddddddddddd  parcels  1,000 rows  from d.csv",
    ]


def test_a_snapshot_whose_parent_is_gone_is_a_root() -> None:
    assert [root.snapshot.source for root in lineage_graph([snapshot("b", "a")], {})] == ["b.csv"]


def test_one_made_from_two_hangs_below_both() -> None:
    roots = lineage_graph([snapshot("a"), snapshot("b"), snapshot("c", "a", "b")], {})

    assert [[child.snapshot.source for child in root.children] for root in roots] == [["c.csv"], ["c.csv"]]
