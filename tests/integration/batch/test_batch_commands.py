"""`modelway batch score` on a bundle folder."""

import json

import pytest

from modelway.cli.main import main


def run(capsys, *words):
    """Exit code, stdout, stderr."""
    try:
        main(["batch", "score", *(str(word) for word in words)])
    except SystemExit as end:
        code = end.code or 0
    else:
        code = 0
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def folders(make_folder, tmp_path):
    return ["--source", make_folder(2, 50), "--target", tmp_path / "out"]


def test_a_bundle_folder_scores_and_a_second_time_there_is_nothing_to_do(
    capsys, make_bundle, verify_key, folders
):
    words = [*folders, "--bundle", make_bundle().path, "--verify-key", verify_key, "--json"]

    first, second = run(capsys, *words), run(capsys, *words)

    assert [first[0], second[0]] == [0, 0]
    assert json.loads(first[1])[0]["scored_rows"] == 100
    assert json.loads(second[1])[0]["skipped_files"] == 2


def test_people_see_a_table(capsys, make_bundle, verify_key, folders):
    _, shown, _ = run(capsys, *folders, "--bundle", make_bundle().path, "--verify-key", verify_key)

    assert "Scored with fake" in shown


def test_a_bundle_signed_by_somebody_else_is_refused(capsys, make_bundle, folders, tmp_path):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - one test's

    from modelway.bundle.signing import verify_pem  # noqa: PLC0415 - one test's

    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(verify_pem(Ed25519PrivateKey.generate().public_key()))

    code, _, told = run(capsys, *folders, "--bundle", make_bundle().path, "--verify-key", stranger)

    assert code == 3
    assert told.startswith("error:")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("both", [False, True], ids=["neither", "both"])
def test_exactly_one_of_model_and_bundle_is_named(capsys, folders, both):
    code, _, told = run(capsys, *folders, *(["--model", "credit", "--bundle", "b"] if both else []))

    assert code == 2
    assert "--model NAME[@VERSION|@ALIAS] or --bundle DIR" in told


def test_a_missing_folder_is_a_usage_error(capsys, make_bundle, verify_key, tmp_path):
    words = ["--source", tmp_path / "nowhere", "--target", tmp_path / "out"]

    code, _, told = run(capsys, *words, "--bundle", make_bundle().path, "--verify-key", verify_key)

    assert code == 2
    assert "nowhere" in told
