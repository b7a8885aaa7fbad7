"""What `optimize compare` says to do next can be pasted as it is."""

from pathlib import Path

import pytest

from modelway.cli.optimize_input import LIMIT, int8_hint


@pytest.mark.parametrize(
    ("model", "limit", "places", "said"),
    [
        (
            "credit@3",
            LIMIT,
            {"--rows": None},
            "modelway optimize int8 credit@3\nsigns a bundle of it; with --register",
        ),
        ("credit", 0.001, {"--rows": None}, "modelway optimize int8 credit --limit 0.001\n"),
        (
            None,
            LIMIT,
            {"--bundle": Path("my bundles/ab"), "--verify-key": Path("verify.pem"), "--rows": None},
            "modelway optimize int8 --bundle 'my bundles/ab' --verify-key verify.pem\nsigns a bundle of it",
        ),
    ],
    ids=["registered", "stricter", "a-folder"],
)
def test_the_command_is_about_the_same_model_rows_and_limit(model, limit, places, said) -> None:
    assert int8_hint(model, limit, places).startswith(said)


def test_a_version_is_offered_only_of_what_is_registered() -> None:
    assert "--register" not in int8_hint(None, LIMIT, {"--bundle": Path("b")})
