"""How long features by key take in the server's process, beside Feast's own read of the same store.

    python benchmarks/online_reads.py [--rounds 2000] [--entities 5000]

One view of ten numbers, filled through Feast. Every contender reads the same keys in the same order, in turns
of a few reads so that all of them see the same machine. Values are compared before anything is timed.

- `store`: `serving.runtime.online_store`, one SELECT and one JSON object (what a server does);
- `key to row`: the whole way of a request by key, from its decoded key to the row of numbers;
- `Feast`: `get_online_features`, which is what a server with Feast inside would call.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

# benchmarks/serving.py is not the package of that name: this folder is asked last
sys.path.append(sys.path.pop(sys.path.index(str(Path(__file__).parent))))

from modelway.bundle.online import OnlineFeatures, OnlineView
from modelway.bundle.policy import ByKey
from modelway.bundle.signature import Input, Signature
from modelway.features.definitions import Feature, FeatureSet, FeatureView
from modelway.features.store import FeatureStore
from serving.runtime.columns import Columns
from serving.runtime.keyed import KeyReader
from serving.runtime.online_store import OnlineStore
from serving.runtime.parsed import Parsed

WIDTH = 10
NAMES = tuple(f"f{at}" for at in range(WIDTH))
AT = datetime(2020, 1, 1, tzinfo=UTC)
TURN = 20
"""Reads of one contender before the next has its turn."""
BATCHES = (1, 100)
Read = Callable[[Sequence[str]], Any]


def _filled(root: Path, entities: int) -> tuple[FeatureStore, Any, list[str]]:
    keys = [f"k{at}" for at in range(entities)]
    draw = np.random.default_rng(1)
    rows = pl.DataFrame({"key": keys} | {name: draw.normal(size=entities) for name in NAMES}).with_columns(
        pl.lit(AT).cast(pl.Datetime("us", "UTC")).alias("event_time"),
        pl.lit(AT).cast(pl.Datetime("us", "UTC")).alias("known_at"),
    )
    view = FeatureView(
        name="ten",
        entity="key",
        ttl_days=10_000,
        compute=lambda history: history,
        features=tuple(Feature(name=name) for name in NAMES),
    )
    use_case = SimpleNamespace(name="bench", features=FeatureSet(row=(), views=(view,)))
    store = FeatureStore(root)
    store.materialise(use_case, rows.lazy(), as_of=datetime(2020, 1, 2, tzinfo=UTC))
    return store, use_case, keys


def _contenders(store: FeatureStore, use_case: Any) -> Mapping[str, Read]:
    path = store.online_file(use_case)
    view = OnlineView(name="ten", table="bench_ten", entity="key", features=NAMES, ttl_s=1e9)
    online = OnlineStore(path)
    signature = Signature(
        model_name="bench",
        key="key",
        label="y",
        inputs=tuple(Input(name=name, kind="numeric") for name in NAMES),
        threshold=0.5,
    )
    reader = KeyReader(Columns(signature), OnlineFeatures(views=(view,)), online, ByKey())

    def ours(keys: Sequence[str]) -> list[list[Any]]:
        found = online.read(view, keys)
        return [[found[key].values[name] for name in NAMES] for key in keys]

    def whole(keys: Sequence[str]) -> list[list[float]]:
        parsed = Parsed(len(keys), [], entity_ids=list(keys), by_key={})
        reader.fill(parsed)
        return np.asarray(parsed.values, np.float32).reshape(len(keys), WIDTH).tolist()

    return {
        "store": ours,
        "key to row": whole,
        "Feast": _feast(store, use_case),
    }


def _feast(store: FeatureStore, use_case: Any) -> Read:
    from modelway.features.feast_border import open_feast  # noqa: PLC0415 - 4 s, as in the store

    feast = open_feast(use_case, store.folder(use_case))
    features = [f"ten:{name}" for name in NAMES]

    def read(keys: Sequence[str]) -> list[list[float]]:
        answer = feast.get_online_features(features=features, entity_rows=[{"key": key} for key in keys])
        columns = answer.to_dict()
        return [list(row) for row in zip(*(columns[name] for name in NAMES), strict=True)]

    return read


def _timed(
    contenders: Mapping[str, Read], keys: Sequence[str], size: int, rounds: int
) -> dict[str, list[float]]:
    """Microseconds of each read, by contender."""
    draw, took_us = np.random.default_rng(2), {name: list[float]() for name in contenders}
    for _ in range(max(1, rounds // TURN)):
        asked = [[keys[at] for at in draw.choice(len(keys), size, replace=False)] for _ in range(TURN)]
        for name, read in contenders.items():
            for some in asked:
                start_ns = perf_counter_ns()
                read(some)
                took_us[name].append((perf_counter_ns() - start_ns) / 1000)
    return took_us


def _check(contenders: Mapping[str, Read], keys: Sequence[str]) -> None:
    answers = {name: np.array(read(keys[:50]), np.float32) for name, read in contenders.items()}
    for name, found in answers.items():
        if not np.array_equal(found, answers["Feast"]):
            raise SystemExit(f"{name} answers otherwise than Feast: nothing was measured")


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table for each batch size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=2000, help="reads of each contender, single keys")
    parser.add_argument("--entities", type=int, default=5000)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        store, use_case, keys = _filled(Path(folder), options.entities)
        contenders = _contenders(store, use_case)
        _check(contenders, keys)
        for size in BATCHES:
            took = _timed(contenders, keys, size, options.rounds // (1 if size == 1 else 10))
            reference = float(np.median(took["Feast"]))
            print(f"\n{size} key(s) a read, {WIDTH} features, {len(keys)} entities")
            print(f"{'':16}{'p50 µs':>10}{'p99 µs':>10}{'Feast / it':>12}")
            for name, each in took.items():
                p50, p99 = np.percentile(each, [50, 99])
                print(f"{name:16}{p50:10.1f}{p99:10.1f}{reference / p50:12.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
