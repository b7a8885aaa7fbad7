"""What `modelway doctor` says."""

from pathlib import Path

import pytest

from modelway.cli.stack import report
from modelway.errors import InfrastructureError
from modelway.home import Home
from stacks import checkup
from stacks.checkup import Finding


def test_a_machine_that_runs_the_tests_has_what_is_required(tmp_path: Path):
    findings = {one.what: one for one in checkup.check_machine(Home(tmp_path / "not-there-yet"))}

    assert findings["Python"].ok
    assert findings["ports"].ok
    assert not (tmp_path / "not-there-yet").exists()


def test_an_old_package_is_named_with_what_is_wanted():
    [said] = checkup._unmet(["pydantic>=999; extra == 'core'", "pyyaml>=1", "left-out>=1; extra == 'nobody'"])

    assert said.startswith("pydantic is 2")
    assert said.endswith(">=999")


def test_a_missing_package_is_named():
    assert list(checkup._unmet(["no-such-package-at-all"])) == [
        "no-such-package-at-all is missing, wanted any"
    ]


def test_something_required_that_is_missing_fails_the_command(capsys):
    findings = [
        Finding(what="disk", ok=False, found="0.1 GiB", expected="3 GiB", remedy="free some"),
        Finding(what="wrk", ok=False, found="nothing", expected="on PATH", remedy="apt-get", required=False),
    ]

    with pytest.raises(InfrastructureError, match="missing: disk") as caught:
        report(findings, as_json=True, title="x")

    assert caught.value.found == "missing: disk"
    assert caught.value.exit_code == 3
    assert '"verdict": "optional"' in capsys.readouterr().out


def test_something_optional_that_is_missing_does_not(capsys):
    report(
        [Finding(what="wrk", ok=False, found="nothing", expected="", required=False)], as_json=True, title="x"
    )

    assert "wrk" in capsys.readouterr().out
