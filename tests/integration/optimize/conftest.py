"""The synthetic loans and the use case of tests/unit/training, for these tests too."""

import importlib.util
from pathlib import Path

_SOURCE = Path(__file__).parents[2] / "unit" / "training" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("training_loans", _SOURCE)
_LOANS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_LOANS)

make_loans = _LOANS.make_loans
use_case = _LOANS.use_case
