"""A network in int8 as a bundle that a server takes, and what is refused instead."""

import json

import numpy as np
import polars as pl
import pytest
from optimize_bundles import bundle_of, key_file, trained
from typer.testing import CliRunner

from modelway.bundle.bundle import Bundle
from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from modelway.cli.optimize import app
from modelway.errors import ParityError, UnsupportedGraphError
from modelway.optimize.repack import in_int8, repacked
from modelway.optimize.scoring import Graph
from serving.runtime.model import Model


@pytest.fixture
def network(use_case, make_loans):
    return trained("mlp", use_case, make_loans(600, seed=1))


def test_the_command_signs_a_bundle_that_a_server_takes(network, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELWAY_HOME", str(tmp_path / "home"))
    bundle, pem = bundle_of(tmp_path, network), key_file(tmp_path)
    told = ["int8", "--bundle", bundle.path, "--verify-key", pem, "--limit", 0.05, "--json"]

    done = CliRunner().invoke(app, [*map(str, told)], catch_exceptions=False)

    (said,) = json.loads(done.stdout)
    signed = Bundle.open(said["bundle"], verify_key=tmp_path / "home" / "keys" / VERIFY_KEY_FILE)
    X = network.X[1::2]  # what the scales have not seen
    ours, theirs = Graph(bundle.model).probabilities(X), Model(signed).many(X)
    assert (said["outcome"], said["digest"]) == ("pass", signed.digest)
    assert 0 < np.abs(ours - theirs).max() <= 0.05
    assert {reason["metric"] for reason in said["reasons"]} >= {"flipped_decisions", "unknown_is_missing"}
    same = set(bundle.manifest.files) - {"model.onnx"}
    assert {name: signed.manifest.files[name] for name in same} == {
        name: bundle.manifest.files[name] for name in same
    }


def test_what_changes_the_answers_is_not_signed(network, tmp_path):
    bundle = bundle_of(tmp_path, network)

    with pytest.raises(ParityError, match="in int8 answers differently") as caught:
        in_int8(bundle, network.X, limit=1e-6)

    assert caught.value.exit_code == 1
    assert "--limit" in caught.value.remedy


def test_trees_have_nothing_to_quantise(use_case, make_loans, tmp_path):
    trees = trained("hgb", use_case, make_loans(600, seed=1))

    with pytest.raises(UnsupportedGraphError, match="no matrix product"):
        in_int8(bundle_of(tmp_path, trees), trees.X, limit=1)


def test_engines_of_the_old_graph_do_not_come_along(network, tmp_path):
    key = load_or_create_key(tmp_path / "keys")
    extras = {"engine-0.plan": b"plan", "engines.json": b"{}", "serving.json": b"{}"}
    carrying = repacked(bundle_of(tmp_path, network), tmp_path / "bundles", key, extras=extras)

    made = in_int8(carrying, network.X, limit=0.05).signed(tmp_path / "bundles", key)

    assert set(made.manifest.files) == set(carrying.manifest.files) - {"engine-0.plan", "engines.json"}
    assert pl.read_parquet(made.reference).equals(pl.read_parquet(carrying.reference))
