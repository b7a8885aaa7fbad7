"""What features cost: the as-of join on two clocks, and bringing the online store up to date.

    python benchmarks/features.py [--rows 1000000] [--facts 200000] [--keys 20000] [--only join]

Quote ratios: all contenders see the same machine, one after the other.

- join, ours: `modelway.features.join.as_of_join`, both clocks, exact;
- join, DuckDB: its ASOF JOIN on one clock, the moment a fact is usable, which is prepared outside the timed
  part. It lacks the second clock: an older event that became known later hides a newer one;
- materialise, ours: `FeatureStore.materialise` into an empty store; then Feast reads a sample back, which
  must be equal. Feast's: the stock store (`sqlite`, `redis`) and its own `materialize`, from the same file.

DuckDB and redis-server are used where they are installed; what is missing is named.
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from datetime import timedelta
from io import StringIO
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import polars as pl

sys.path.append(
    sys.path.pop(sys.path.index(str(Path(__file__).parent)))
)  # benchmarks/serving.py, see online_reads

from measuring.facts import AS_OF, TTL, WIDTH, asked, one_clock, online_rows, published, use_case_of
from measuring.redis_server import redis_server

from modelway.features.feast_border import definitions
from modelway.features.join import as_of_join
from modelway.features.repository import CONFIG_FILE
from modelway.features.store import FeatureStore

SAMPLE = 500
STORES = {"sqlite": "online.NewestWinsSqliteOnlineStore", "redis": "online_redis.NewestWinsRedisOnlineStore"}
Measured = tuple[float, float, Any]
"""Wall s, CPU s of this process, what came out."""


def measured(do: Callable[[], Any], rounds: int = 1) -> Measured:
    """The best of some rounds by wall time."""
    found: list[Measured] = []
    for _ in range(rounds):
        wall_s, cpu_s = perf_counter(), process_time()
        answer = do()
        found.append((perf_counter() - wall_s, process_time() - cpu_s, answer))
    return min(found, key=lambda one: one[0])


def line(name: str, ours: Measured, it: Measured, note: str = "") -> None:
    """One row of the table."""
    print(f"{name:34}{it[0]:10.2f}{it[1]:10.2f}{it[0] / ours[0]:12.1f}  {note}", flush=True)


def heading(words: str) -> None:
    """What follows, how big, on how busy a machine."""
    load = os.getloadavg()[0]
    print(f"\n{words} (load {load:.1f} on {os.cpu_count()} CPUs)")
    print(f"{'':34}{'wall s':>10}{'CPU s':>10}{'it / ours':>12}")


def joins(rows: int, facts: int, keys: int) -> None:
    """Ours and DuckDB's on the same facts."""
    entities, features = asked(rows, keys), published(facts, keys)
    heading(f"as-of join: {rows:,} rows, {facts:,} facts, {keys:,} keys")
    ours = measured(lambda: as_of_join(entities.lazy(), features.lazy(), keys=["key"], ttl=TTL).collect(), 3)
    line("ours, two clocks", ours, ours, f"{ours[2].height:,} rows out")
    if importlib.util.find_spec("duckdb") is None:
        print("DuckDB is not installed: pip install duckdb")
        return
    usable = one_clock(features)
    peer = measured(lambda: _duckdb(entities, usable), 3)
    same = peer[2]["f0"].eq_missing(ours[2]["f0"]).mean()
    line("DuckDB ASOF, one clock", ours, peer, f"{same:.1%} of its values are ours")


def _duckdb(entities: pl.DataFrame, usable: pl.DataFrame) -> pl.DataFrame:
    import duckdb  # noqa: PLC0415 - a peer that need not be installed

    fresh = "e.event_time - u.event_time <= INTERVAL 365 DAY"
    names = ", ".join(f"CASE WHEN {fresh} THEN u.f{at} END AS f{at}" for at in range(WIDTH))
    query = f"""SELECT e.row, {names} FROM entities e ASOF LEFT JOIN usable u
        ON e.key = u.key AND e.event_time >= u.usable ORDER BY e.row"""  # noqa: S608 - numbers only
    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    connection.register("entities", entities.to_arrow())
    connection.register("usable", usable.to_arrow())
    return pl.from_arrow(connection.sql(query).to_arrow_table())


def materialisations(rows: int, kind: str, redis: str | None) -> None:
    """Feast's own and ours into two empty stores of one kind; then Feast reads ours."""
    use_case, history = use_case_of(WIDTH), online_rows(rows, WIDTH)
    with tempfile.TemporaryDirectory() as folder:
        heading(f"materialise into {kind}: {rows:,} entities, {WIDTH} features")
        store = FeatureStore(Path(folder) / "ours", redis=redis)
        store.apply(use_case)  # Feast's import is in neither time
        ours = measured(lambda: store.materialise(use_case, history.lazy(), as_of=AS_OF))
        found = store.read(use_case, "ten", history["key"].head(SAMPLE).to_list(), at=AS_OF)
        if not found["f0"].equals(history["f0"].head(SAMPLE)):
            raise SystemExit("Feast reads other values than were written: nothing was measured")
        line("ours", ours, ours, f"Feast read {SAMPLE} back, all equal")
        feast = _stock(store, use_case, Path(folder), kind)
        peer = measured(lambda: _quietly(lambda: feast.materialize(AS_OF - timedelta(days=9), AS_OF)))
        line("Feast's own", ours, peer)


def _stock(store: FeatureStore, use_case: Any, folder: Path, kind: str) -> Any:
    """The same repository for Feast as it comes, with a store of its own that is empty."""
    from feast import FeatureStore as Feast  # noqa: PLC0415 - 4 s, as in the store

    other = folder / "stock"
    shutil.copytree(store.folder(use_case), other)
    (other / "online.db").unlink(missing_ok=True)
    (other / "registry.db").unlink()
    text = (other / CONFIG_FILE).read_text().replace(f"modelway.features.{STORES[kind]}", kind)
    (other / CONFIG_FILE).write_text(text.replace("project: bench", "project: stock"))
    feast = Feast(repo_path=str(other))
    _quietly(lambda: feast.apply(definitions(other)))
    return feast


def _quietly(do: Callable[[], Any]) -> Any:
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return do()


def _stores() -> Iterator[tuple[str, str | None]]:
    yield "sqlite", None
    if shutil.which("redis-server") is None:
        print("redis-server is not installed: apt-get install redis-server")
        return
    with redis_server() as address:
        yield "redis", address


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows asked, and entities materialised")
    parser.add_argument("--facts", type=int, default=200_000, help="feature rows joined")
    parser.add_argument("--keys", type=int, default=20_000, help="entities in the join")
    parser.add_argument("--only", choices=("join", "materialise"), help="one of the two")
    options = parser.parse_args(argv)
    if options.only != "materialise":
        joins(options.rows, options.facts, options.keys)
    if options.only != "join":
        for kind, address in _stores():
            materialisations(options.rows, kind, address)
    return 0


if __name__ == "__main__":
    sys.exit(main())
