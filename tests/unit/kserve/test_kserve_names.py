"""`python -m serving.kserve` takes no name that a cluster would refuse later."""

from pathlib import Path

import pytest

from modelway.bundle.signing import VERIFY_KEY_FILE, load_or_create_key
from serving.kserve.__main__ import main

GOOD = {
    "--image": "registry.example.com:5000/team/modelway_runtime:1.2-rc1@sha256:" + "a" * 64,
    "--namespace": "models-2",
    "--name": "m" * 63,
    "--keys-secret": "7.client-keys",
    "--predictions-claim": "log." + "x" * 200,
    "--triton-image": "localhost/tritonserver:24.12",
}


def run(folder: Path, **changes: str) -> int:
    load_or_create_key(folder)
    told = {**GOOD, "--verify-key": str(folder / VERIFY_KEY_FILE), **changes}
    return main([word for option in told.items() for word in option])


def test_names_as_a_cluster_takes_them_are_taken(tmp_path: Path) -> None:
    assert run(tmp_path) == 0
    assert run(tmp_path, **{"--namespace": "7days"}) == 0


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--namespace", "Models"),
        ("--namespace", ""),
        ("--namespace", "models\n"),
        ("--namespace", "models/../kube-system"),
        ("--namespace", "m" * 64),
        ("--namespace", "7days-"),
        ("--name", "mod_elway"),
        ("--name", "7days"),
        ("--name", "modelway-"),
        ("--keys-secret", "client keys"),
        ("--keys-secret", "keys..yaml"),
        ("--keys-secret", "k" * 254),
        ("--predictions-claim", "/var/log"),
        ("--image", ""),
        ("--image", "registry/Modelway:1"),
        ("--image", "registry/modelway"),
        ("--image", "registry:5000/modelway"),
        ("--image", "https://registry/modelway:1"),
        ("--image", "registry/modelway:1 --privileged"),
        ("--image", "registry/modelway@sha256:abc"),
        ("--triton-image", "triton:1:2"),
    ],
)
def test_others_are_refused_by_the_name_of_their_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str
) -> None:
    assert run(tmp_path, **{option: value}) == 2

    said = capsys.readouterr()
    assert said.out == ""
    assert f"error: {option} {value!r}\nexpected: " in said.err
    assert f"\nto do: correct {option}\n" in said.err
