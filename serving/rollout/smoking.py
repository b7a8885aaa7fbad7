"""Asks one revision, through the gateway, what its bundle says the right answers are."""

import http.client
import json
import math
from pathlib import Path
from typing import Any

from modelway.bundle.bundle import REFERENCE_FILE
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT, Signature
from serving.rollout.sights import Smoke
from serving.rollout.target import Revision

ROWS = 32
TOLERANCE = 0.01
"""A graph at half precision is still right; one with columns swapped is not."""
_TIMEOUT_S = 5.0
_Row = tuple[list[float | None], float | None]


def smoke(port: int, revision: Revision, signature: Signature) -> Smoke:
    """Ask the rows that the bundle keeps as its reference, one by one.

    A bundle without reference rows is asked a row of zeros: its answer has to be a probability.
    """
    rows = _reference(revision.bundle / REFERENCE_FILE, signature) or [([0.0] * len(signature.inputs), None)]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    problems = [_problem(connection, revision.id, signature, row) for row in rows]
    connection.close()
    told = [problem for problem in problems if problem]
    return Smoke(asked=len(rows), wrong=len(told), problem=told[0] if told else "")


def _problem(connection: http.client.HTTPConnection, revision: str, signature: Signature, row: _Row) -> str:
    values, right = row
    tensor = {"name": GRAPH_INPUT, "shape": [1, len(values)], "datatype": "FP32", "data": values}
    headers = {"content-type": "application/json", "x-revision": revision}
    path = f"/v2/models/{signature.model_name}/infer?purpose=probe"
    try:
        connection.request("POST", path, json.dumps({"inputs": [tensor]}), headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"({type(error).__name__})"
    if answer.status != http.HTTPStatus.OK:
        return f"(status {answer.status}: {body[:120].decode(errors='replace')})"
    if answer.headers.get("x-revision") != revision:
        return f"({answer.headers.get('x-revision')} answered)"
    return _wrong(_probability(body), right)


def _probability(body: bytes) -> float:
    try:
        outputs = {each["name"]: each["data"] for each in json.loads(body)["outputs"]}
        return float(outputs[GRAPH_OUTPUT][0])
    except (ValueError, KeyError, IndexError, TypeError):
        return math.nan


def _wrong(found: float, right: float | None) -> str:
    if not 0.0 <= found <= 1.0:
        return "(no probability)"
    if right is not None and abs(found - right) > TOLERANCE:
        return f"({found:.4f} where the bundle says {right:.4f})"
    return ""


def _reference(path: Path, signature: Signature) -> list[_Row]:
    if not path.exists() or not path.stat().st_size:
        return []
    import pyarrow.parquet as pq  # noqa: PLC0415 - 0.2 s that only a smoke test pays

    first: list[dict[str, Any]] = pq.ParquetFile(path).read_row_group(0).slice(0, ROWS).to_pylist()
    return [
        ([_finite(row.get(name)) for name in signature.names], _finite(row.get(GRAPH_OUTPUT)))
        for row in first
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
