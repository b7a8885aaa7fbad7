"""An optimised bundle on its way through the registry: measured, signed, entered, promoted, made again."""

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from modelway.bundle.signing import load_or_create_key
from modelway.bundle.variant import VARIANT_FILE, EnginesFor, Int8, Profile, variant_of
from modelway.contract import Outcome, Reason, Verdict
from modelway.data.frames import write_frame
from modelway.data.ingest import ingest
from modelway.data.snapshot import FolderSnapshotStore
from modelway.errors import ConfigError, GateError, IntegrityError, ParityError, TransitionError
from modelway.evaluation import gates
from modelway.evaluation.held_out import evaluate_on
from modelway.features.training_set import build_training_set
from modelway.optimize import compare
from modelway.optimize.repack import repacked
from modelway.optimize.scoring import Graph
from modelway.registry.audit import AuditLog
from modelway.registry.packing import Stores, pack
from modelway.registry.registry import Registry
from modelway.registry.variant_again import reproduce_variant
from modelway.registry.variant_gates import Origin
from modelway.registry.variants import Workshop, register_variant
from modelway.training.splits import split_by_time
from modelway.training.tracking import Tracker
from modelway.training.tune import Request, tune
from modelway.usecase import load_use_case
from serving.runtime.model import Model

AS_OF = datetime(2020, 6, 1, tzinfo=UTC)
INT8 = Int8(limit=0.05)


class NetworkIrises(type(load_use_case("iris"))):
    """The irises, by networks alone: int8 is for products."""

    candidates = tuple(c for c in load_use_case("iris").candidates if c.kind == "mlp")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, empty_store):
    """A network of irises, registered and in production: ingested, trained and packed for real."""
    folder = tmp_path_factory.mktemp("variants")
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    use_case, frames = NetworkIrises(), str(folder / "frames")
    snapshots = FolderSnapshotStore(str(folder / "snapshots"))
    snapshot = ingest(use_case, None, snapshots)
    history = snapshots.scan(snapshot.id, as_of=AS_OF)
    rows = build_training_set(use_case, history, as_of=AS_OF)
    splits = split_by_time(rows, frames)
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts"))
    request = Request(snapshot_id=snapshot.id, as_of=AS_OF, seed=4, trials=1)
    made = tune(use_case, splits, request, tracker=tracker, folder=str(folder / "models"))
    evaluation = evaluate_on(use_case, made, splits, None, 1)
    honest = Reason(metric="hindsight", outcome=Outcome.PASS, message="nothing was known too early")
    verdict = gates(evaluation, use_case.gates) & Verdict.of([honest])
    key = load_or_create_key(folder / "keys")
    stores = Stores(folder / "bundles", key)
    bundle = pack(use_case, made, evaluation, verdict, write_frame(rows, frames), history, stores)
    audit = AuditLog(folder / "audit.db")
    registry = Registry(f"sqlite:///{folder}/mlflow.db", stores.bundles, audit, verify_key=key.public_key())
    facts = {"evaluation": evaluation, "verdict": verdict, "run_id": made.run_id, "who": "ci"}
    version = registry.register(bundle, **facts, trained_by="ada")
    registry.promote("iris", version.version, who="ada", why="the first one")
    shop = Workshop(snapshots, frames, stores.bundles, folder / "engines", key)
    return SimpleNamespace(
        use_case=use_case, registry=registry, shop=shop, test=splits.test.load(), facts=facts
    )


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(compare, "MEASURED_S", 0.005)


def register(trained, recipe=INT8, reference=1):
    origin = Origin.of(trained.registry, "iris", reference)
    return register_variant(trained.registry, trained.use_case, origin, recipe, trained.shop, who="bob")


@pytest.fixture(scope="module")
def int8(trained):
    return register(trained)


def test_a_variant_is_a_version_of_its_model(trained, int8):
    registry = trained.registry
    bundle, origin = registry.bundle("iris", int8.version), registry.bundle("iris", 1)

    assert (int8.stage.value, int8.semantic, int8.aliases) == ("Staging", "1.0.1", ("challenger",))
    assert int8.variant.words == "int8 of version 1"
    assert (int8.trained_by, int8.run_id) == ("ada", registry.get("iris", 1).run_id)
    assert variant_of(bundle).origin_digest == origin.digest
    assert variant_of(origin) is None
    assert registry.verify("iris", int8.version).passed
    metrics = {reason.metric for reason in int8.verdict.reasons}
    assert metrics >= {"hindsight", "roc_auc", "champion.roc_auc", "variant.int8.flipped_decisions"}
    told = int8.verdict.evidence["variant"]
    assert told["sizes_bytes"]["model.onnx"] == len(bundle.read("model.onnx"))
    assert [each["rows"] for each in told["latency_onnxruntime_cpu"]["variant"]] == [1, 16, 256, 4096]


def test_what_it_says_of_itself_is_true(trained, int8):
    bundle, origin = (trained.registry.bundle("iris", v) for v in (int8.version, 1))
    X = trained.test.select(bundle.signature.names).to_numpy().astype(np.float32)
    gap = np.abs(Graph(bundle.model).probabilities(X) - Graph(origin.model).probabilities(X)).max()
    reference = pl.read_parquet(bundle.reference)
    card = bundle.card.read_text()

    held = variant_of(bundle).held["variant.int8.max_probability_difference"]
    assert held == pytest.approx(gap, abs=1e-9)
    assert 0 < gap <= INT8.limit
    rows = reference.select(bundle.signature.names).to_numpy().astype(np.float32)
    assert np.array_equal(reference["probability"].to_numpy(), Graph(bundle.model).probabilities(rows))
    assert f"Int8 of version 1, bundle `{origin.digest[:12]}`" in card
    assert "variant.int8.max_probability_difference" in card
    assert "champion" not in card
    assert bundle.lineage.model_copy(update={"metrics": {}}) == origin.lineage.model_copy(
        update={"metrics": {}}
    )
    assert Model(bundle).many(X) == pytest.approx(Graph(bundle.model).probabilities(X), abs=1e-6)


def test_it_goes_to_production_and_back_and_the_log_knows(trained, int8):
    registry = trained.registry

    registry.promote("iris", int8.version, who="ada", why="a third of the size")
    (_, live) = registry.history("iris")
    back = registry.rollback("iris", who="ada", why="try the way back")

    assert (live.version, live.variant.words) == (int8.version, "int8 of version 1")
    assert live.verdict.evidence["variant"]["origin"] == "iris@1"
    assert back.version == 1
    assert registry.verify_log().passed


def test_it_is_made_again_from_its_origin_to_the_byte(trained, int8):
    bundle = trained.registry.bundle("iris", int8.version)
    origin = Origin.of(trained.registry, "iris", 1)

    verdict = reproduce_variant(trained.use_case, origin, variant_of(bundle), bundle, trained.shop)
    other = variant_of(bundle).model_copy(update={"libraries": {"onnx": "1.0"}})
    elsewhere = reproduce_variant(trained.use_case, origin, other, bundle, trained.shop)

    assert verdict.passed, verdict.summary()
    assert verdict.evidence["again"] == bundle.digest
    assert elsewhere.outcome is Outcome.INCONCLUSIVE
    assert "onnx 1.0 ->" in elsewhere.summary()


def test_what_answers_differently_is_not_registered(trained):
    before = trained.registry.list("iris")

    with pytest.raises(ParityError, match="int8 answers differently"):
        register(trained, Int8(limit=1e-9))

    assert [v.version for v in trained.registry.list("iris")] == [v.version for v in before]


def test_a_gate_that_does_not_pass_keeps_it_out(trained):
    strict = NetworkIrises()
    strict.gates = strict.gates.model_copy(update={"min_rows": 10_000})
    before = {path.name for path in trained.shop.bundles.iterdir()}

    with pytest.raises(GateError, match=r"int8 of iris@1 is not registered. inconclusive"):
        register(SimpleNamespace(**{**vars(trained), "use_case": strict}), Int8(limit=0.049))

    assert {path.name for path in trained.shop.bundles.iterdir()} == before


def test_a_variant_is_made_from_no_variant(trained, int8):
    with pytest.raises(ConfigError, match="is int8 of version 1 already"):
        register(trained, reference=int8.version)


def test_other_rows_than_the_origins_are_noticed(trained):
    origin = Origin.of(trained.registry, "iris", 1)
    fewer = origin.evaluation.model_copy(update={"rows": 3})

    with pytest.raises(IntegrityError, match="cannot be made again"):
        register_variant(
            trained.registry,
            trained.use_case,
            replace(origin, evaluation=fewer),
            INT8,
            trained.shop,
            who="bob",
        )


@pytest.mark.parametrize("broken", ["origin", "verdict", "nobody looked"])
def test_the_registry_itself_lets_no_unheld_variant_in(trained, int8, broken):
    bundle = trained.registry.bundle("iris", int8.version)
    said, held = bundle.read(VARIANT_FILE), int8.verdict
    if broken == "origin":
        said = said.replace(trained.registry.get("iris", 1).digest.encode(), b"0" * 64)
    unheld = {
        "origin": held,
        "verdict": held & Verdict.of([]),
        "nobody looked": Verdict.of(r for r in held.reasons if not r.metric.startswith("variant.")),
    }
    # repacked drops variant.json, so that a bundle says nothing of itself which its maker does not say anew
    extras = {VARIANT_FILE: said, "note.txt": broken.encode()}
    forged = repacked(bundle, trained.shop.bundles, trained.shop.key, extras=extras)

    with pytest.raises(GateError, match="is not registered"):
        trained.registry.register(forged, **{**trained.facts, "verdict": unheld[broken]})


def test_a_rejected_version_has_no_variants(trained, int8):
    registry = trained.registry
    named = repacked(
        registry.bundle("iris", 1), trained.shop.bundles, trained.shop.key, extras={"note.txt": b"again"}
    )
    version = registry.register(named, **trained.facts)
    registry.approvals.reject("iris", version.version, who="ada", why="not this one")

    with pytest.raises(TransitionError, match="was rejected by ada"):
        register(trained, reference=version.version)


@pytest.mark.accelerator("tensorrt-rtx")
def test_engines_are_a_version_that_serves_where_there_is_no_gpu(trained, int8):
    recipe = EnginesFor(
        module="tensorrt_rtx", archs=("sm89",), precisions=("fp32",), profile=Profile(), limit=1e-4
    )
    version = register(trained, recipe)
    bundle, origin = (trained.registry.bundle("iris", v) for v in (version.version, 1))
    X = trained.test.select(bundle.signature.names).to_numpy().astype(np.float32)
    served = Model(bundle)

    again = reproduce_variant(
        trained.use_case, Origin.of(trained.registry, "iris", 1), version.variant, bundle, trained.shop
    )

    assert version.variant.words == "engines for sm89 in fp32 of version 1"
    assert bundle.read("model.onnx") == origin.read("model.onnx")
    assert served.many(X) == pytest.approx(Graph(origin.model).probabilities(X), abs=1e-6)
    assert again.passed, again.summary()
