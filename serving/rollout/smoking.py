"""Asks one revision, through the gateway, what its bundle says the right answers are."""

import http.client
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelway.bundle.bundle import REFERENCE_FILE
from modelway.bundle.signature import GRAPH_INPUT, GRAPH_OUTPUT, Signature
from modelway.errors import NotReadyError
from serving.rollout.sights import Smoke
from serving.rollout.target import Revision

ROWS = 32
TOLERANCE = 0.01
"""A graph at half precision is still right; one with columns swapped is not."""
_TIMEOUT_S = 5.0
Row = tuple[list[float | None], float | None]


def smoke(port: int, revision: Revision, signature: Signature) -> Smoke:
    """Ask the rows that the bundle keeps as its reference, one by one.

    A bundle without reference rows is asked a row of zeros: its answer has to be a probability.

    Raises:
        NotReadyError: The reference rows cannot be read.
    """
    rows = rows_of(revision, signature)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    problems = [_problem(connection, revision.id, signature, row) for row in rows]
    connection.close()
    return summed(problems)


def rows_of(revision: Revision, signature: Signature) -> list[Row]:
    """Inputs, and the right answer where the bundle says it.

    Raises:
        NotReadyError: They cannot be read: a file that is not there is none without rows.
    """
    return _reference(revision.bundle / REFERENCE_FILE, signature) or [([0.0] * len(signature.inputs), None)]


def path_of(signature: Signature) -> str:
    """Where to ask; the answer is nobody's, and says so in the log."""
    return f"/v2/models/{signature.model_name}/infer?purpose=probe"


def question(rows: Sequence[Row]) -> dict[str, Any]:
    """One request for rows."""
    data = [value for values, _ in rows for value in values]
    tensor = {"name": GRAPH_INPUT, "shape": [len(rows), len(rows[0][0])], "datatype": "FP32", "data": data}
    return {"inputs": [tensor]}


def problems_of(status: int, body: bytes, rows: Sequence[Row]) -> list[str]:
    """What is wrong with the answer to a request, one text for each row; empty where nothing is."""
    if status != http.HTTPStatus.OK:
        return [f"(status {status}: {body[:120].decode(errors='replace')})"] * len(rows)
    found = _probabilities(body)
    if len(found) != len(rows):
        return [f"({len(found)} answers to {len(rows)} rows)"] * len(rows)
    return [_wrong(value, right) for value, (_, right) in zip(found, rows, strict=True)]


def summed(problems: Sequence[str]) -> Smoke:
    """All rows together."""
    told = [problem for problem in problems if problem]
    return Smoke(asked=len(problems), wrong=len(told), problem=told[0] if told else "")


def _problem(connection: http.client.HTTPConnection, revision: str, signature: Signature, row: Row) -> str:
    headers = {"content-type": "application/json", "x-revision": revision}
    try:
        connection.request("POST", path_of(signature), json.dumps(question([row])), headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return f"({type(error).__name__})"
    if answer.status == http.HTTPStatus.OK and answer.headers.get("x-revision") != revision:
        return f"({answer.headers.get('x-revision')} answered)"
    return problems_of(answer.status, body, [row])[0]


def _probabilities(body: bytes) -> list[float]:
    try:
        outputs = {each["name"]: each["data"] for each in json.loads(body)["outputs"]}
        return [math.nan if value is None else float(value) for value in outputs[GRAPH_OUTPUT]]
    except (ValueError, KeyError, IndexError, TypeError):
        return [math.nan]


def _wrong(found: float, right: float | None) -> str:
    if not 0.0 <= found <= 1.0:
        return "(no probability)"
    if right is not None and abs(found - right) > TOLERANCE:
        return f"({found:.4f} where the bundle says {right:.4f})"
    return ""


def _reference(path: Path, signature: Signature) -> list[Row]:
    try:
        if not path.stat().st_size:
            return []
        import pyarrow.parquet as pq  # noqa: PLC0415 - 0.2 s that only a smoke test pays

        first: list[dict[str, Any]] = pq.ParquetFile(path).read_row_group(0).slice(0, ROWS).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's own are ValueErrors
        raise NotReadyError(
            f"the reference rows cannot be read: {error}", expected=str(path), remedy="restore the bundle"
        ) from error
    return [
        ([_finite(row.get(name)) for name in signature.names], _finite(row.get(GRAPH_OUTPUT)))
        for row in first
    ]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
