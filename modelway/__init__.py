"""Modelway: a tabular model the whole way round."""

import os

__version__ = "0.1.0"

# ONNX Runtime's wheels report their use to Microsoft and keep a database in the user's home, unless told so
# before the first import. Whoever wants that sets the variable.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
