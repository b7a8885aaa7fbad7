"""The synthetic loans, and the bundles of tests/integration/optimize."""

import importlib.util
import sys
from pathlib import Path

import pytest

_TESTS = Path(__file__).parents[2]
sys.path.insert(0, str(_TESTS / "integration" / "optimize"))
_SPEC = importlib.util.spec_from_file_location("triton_loans", _TESTS / "unit" / "training" / "conftest.py")
_LOANS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_LOANS)


@pytest.fixture(scope="session")
def make_loans():
    return _LOANS.loans


@pytest.fixture(scope="session")
def use_case():
    return _LOANS.loan_use_case()
