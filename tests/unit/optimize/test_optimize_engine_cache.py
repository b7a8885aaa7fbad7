import json

import pytest

from modelway.bundle.engines import EngineFingerprint, Profile
from modelway.errors import StorageError
from modelway.optimize.engine_cache import EngineCache


def fingerprint(**more):
    said = {
        "module": "tensorrt_rtx",
        "version": "1.7",
        "arch": "sm89",
        "precision": "fp32",
        "profile": Profile(),
        "graph_sha256": "0" * 64,
        "network_sha256": "1" * 64,
        "limit": 1e-4,
    }
    return EngineFingerprint(**said | more)


@pytest.mark.parametrize(
    "other",
    [
        {"module": "tensorrt"},
        {"version": "1.8"},
        {"arch": "sm120"},
        {"precision": "fp16"},
        {"profile": Profile(max_rows=64)},
        {"graph_sha256": "2" * 64},
        {"network_sha256": "2" * 64},
        {"limit": 1e-3},
    ],
    ids=lambda other: next(iter(other)),
)
def test_whatever_differs_makes_another_engine(other):
    assert fingerprint(**other).id != fingerprint().id


def test_the_second_build_is_a_look_up(tmp_path):
    cache, builds = EngineCache(tmp_path / "new"), []

    def build():
        builds.append(1)
        return b"plan"

    first, second = cache.get(fingerprint(), build), cache.get(fingerprint(), build)
    cache.get(fingerprint(arch="sm80"), build)

    assert (first.hit, first.note) == (False, "built now")
    assert (second.hit, second.plan) == (True, b"plan")
    assert len(builds) == 2


@pytest.mark.parametrize(
    ("suffix", "content", "says"),
    [
        pytest.param(".plan", b"plam", "is not what was stored", id="one-bit-of-the-plan"),
        pytest.param(".plan", b"", "is not what was stored", id="an-empty-plan"),
        pytest.param(".json", b"{", "cannot be read", id="half-a-description"),
        pytest.param(".json", b"[]", "is not what was stored", id="another-description"),
    ],
)
def test_a_damaged_entry_is_built_again_and_whole_afterwards(tmp_path, suffix, content, says):
    cache, wanted = EngineCache(tmp_path), fingerprint()
    cache.get(wanted, lambda: b"plan")
    (tmp_path / f"{wanted.id}{suffix}").write_bytes(content)

    mended = cache.get(wanted, lambda: b"plan")

    assert not mended.hit
    assert says in mended.note
    assert cache.get(wanted, lambda: b"never").plan == b"plan"


def test_a_build_killed_between_its_two_files_counts_as_none(tmp_path):
    cache, wanted = EngineCache(tmp_path), fingerprint()
    cache.get(wanted, lambda: b"plan")
    (tmp_path / f"{wanted.id}.json").unlink()

    assert not cache.get(wanted, lambda: b"plan").hit


def test_an_entry_of_another_fingerprint_under_this_name_is_not_taken(tmp_path):
    cache, wanted = EngineCache(tmp_path), fingerprint()
    cache.get(wanted, lambda: b"plan")
    about = tmp_path / f"{wanted.id}.json"
    said = json.loads(about.read_bytes())
    about.write_text(json.dumps(said | {"fingerprint": said["fingerprint"] | {"version": "9"}}))

    assert not cache.get(wanted, lambda: b"plan").hit


def test_nothing_is_left_beside_the_two_files(tmp_path):
    wanted = fingerprint()
    EngineCache(tmp_path).get(wanted, lambda: b"plan")

    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{wanted.id}.json", f"{wanted.id}.plan"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StorageError, match="cannot keep an engine"):
        EngineCache(tmp_path / "file" / "cache").get(fingerprint(), lambda: b"plan")


def test_a_profile_ascends():
    assert Profile.up_to(16) == Profile(min_rows=1, opt_rows=16, max_rows=16)
    with pytest.raises(ValueError, match="must ascend"):
        Profile(opt_rows=8, max_rows=4)
