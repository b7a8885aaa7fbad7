"""Everything here needs an NVIDIA GPU: `pytest tests/gpu`. Skipped with the reason where there is none."""

import importlib.util
import sys
from pathlib import Path

import pytest

from modelway.errors import EngineError
from modelway.optimize.cuda import gpu
from modelway.optimize.tensorrt import load_module

_TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(_TESTS / "integration" / "optimize"))
_SPEC = importlib.util.spec_from_file_location("gpu_loans", _TESTS / "unit" / "training" / "conftest.py")
_LOANS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_LOANS)

make_loans = _LOANS.make_loans
use_case = _LOANS.use_case


def pytest_collection_modifyitems(items):
    """Mark and, without a GPU, skip what lies in this folder."""
    reason = why_not()
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=f"needs a GPU: {reason}"))


def why_not():
    try:
        gpu()
    except EngineError as error:
        return error.found
    return ""


@pytest.fixture(params=["tensorrt_rtx", "tensorrt"])
def module(request):
    """Each of the two modules that is installed; one alone will do."""
    try:
        return load_module(request.param)
    except EngineError as error:
        pytest.skip(error.found)
