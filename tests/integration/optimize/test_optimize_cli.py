import json
from datetime import UTC, datetime

import polars as pl
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from modelway.bundle.bundle import write_bundle
from modelway.bundle.lineage import Lineage
from modelway.bundle.signing import verify_pem
from modelway.cli.optimize import app
from modelway.contract import Slo
from modelway.errors import BundleRejectedError, ConfigError, ContractError, ParityError, SourceError
from modelway.optimize.export import to_onnx
from modelway.training.calibration import Calibrator
from modelway.training.candidates import kind_named
from modelway.training.candidates.base import Recipe, Rows, ignore_epoch
from modelway.training.encoding import encode, labels, signature_from

KEY = Ed25519PrivateKey.generate()


@pytest.fixture
def rows(make_loans):
    return make_loans(600, seed=1)


@pytest.fixture
def make_bundle(use_case, rows, tmp_path):
    signature = signature_from(use_case, rows, 0.25)
    X = encode(rows, signature)
    recipe = Recipe(signature.inputs, {"max_iter": 10, "min_samples_leaf": 10}, 1)
    model = kind_named("hgb").fit(Rows(X, labels(rows)), None, recipe, ignore_epoch)
    reference = tmp_path / "reference.parquet"
    pl.DataFrame(X, schema=list(signature.names)).write_parquet(reference)

    def bundle(inputs=signature.inputs):
        return write_bundle(
            tmp_path / "bundles",
            onnx=to_onnx(model, Calibrator(slope=1, intercept=0), inputs),
            signature=signature,
            reference=reference,
            slo=Slo(latency_limit_ms=50, rate_rps=10),
            card="# A model of loans",
            lineage=Lineage(
                use_case="loans", snapshot_id="s", as_of=datetime(2005, 1, 1, tzinfo=UTC), kind="hgb", seed=1
            ),
            key=KEY,
        )

    return bundle


@pytest.fixture
def run(tmp_path):
    key = tmp_path / "verify.pem"
    key.write_bytes(verify_pem(KEY.public_key()))

    def run(*arguments):
        done = CliRunner().invoke(app, [*map(str, arguments), "--verify-key", str(key)])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.stdout

    return run


def test_show_lists_what_is_in_the_graph_and_times_it(make_bundle, run):
    bundle = make_bundle()

    (found,) = json.loads(run("show", "--bundle", bundle.path, "--json"))

    assert found["digest"] == bundle.digest
    assert found["outputs"] == {"probability": ["n"]}
    assert found["nodes"]["TreeEnsembleRegressor"] == 1
    assert all(t["median_us"] > 0 for t in found["latency"])
    assert "TreeEnsembleRegressor 1" in run("show", "--bundle", bundle.path)


def test_check_passes_a_good_graph_on_its_reference_and_on_rows_of_ones_own(make_bundle, run, rows, tmp_path):
    bundle, own = make_bundle(), tmp_path / "own.parquet"
    rows.head(50).write_parquet(own)

    (by_itself,) = json.loads(run("check", "--bundle", bundle.path, "--json"))
    (on_own,) = json.loads(run("check", "--bundle", bundle.path, "--rows", own, "--json"))

    assert by_itself["outcome"] == on_own["outcome"] == "pass"
    assert (by_itself["evidence"]["rows"], on_own["evidence"]["rows"]) == (600, 50)


def test_check_refuses_a_graph_that_reads_unknown_codes(make_bundle, run):
    good = make_bundle()
    numbers = tuple(i.model_copy(update={"kind": "numeric", "vocabulary": ()}) for i in good.signature.inputs)

    with pytest.raises(ParityError, match="unknown value") as caught:
        run("check", "--bundle", make_bundle(numbers).path)
    assert caught.value.exit_code == 1


def test_check_on_no_rows_is_no_pass(make_bundle, run, rows, tmp_path):
    nothing = tmp_path / "none.parquet"
    rows.clear().write_parquet(nothing)

    with pytest.raises(ParityError, match="inconclusive"):
        run("check", "--bundle", make_bundle().path, "--rows", nothing)


def test_bad_input_is_named(make_bundle, run, rows, tmp_path):
    bundle, other, broken = make_bundle(), tmp_path / "other.parquet", tmp_path / "broken.parquet"
    rows.drop("state").write_parquet(other)
    broken.write_text("no parquet")

    with pytest.raises(ContractError, match="state"):
        run("check", "--bundle", bundle.path, "--rows", other)
    with pytest.raises(SourceError, match=r"broken\.parquet cannot be read"):
        run("check", "--bundle", bundle.path, "--rows", broken)
    with pytest.raises(ConfigError, match="no model named"):
        run("show")


def test_an_altered_bundle_is_not_even_looked_into(make_bundle, run):
    bundle = make_bundle()
    content = bytearray(bundle.model.read_bytes())
    content[-1] ^= 1
    bundle.model.chmod(0o644)
    bundle.model.write_bytes(content)

    with pytest.raises(BundleRejectedError):
        run("show", "--bundle", bundle.path)
