"""What the OpenAPI document says of requests that are answered later, and of what stands behind addresses."""

from serving.runtime.openapi_schemas import Json, closed, ref
from serving.runtime.wishes import PURPOSES

_TEXT = {"type": "string"}
_MOMENT = {"type": "string", "format": "date-time"}
_ERRORS = {
    "401": "A key is missing or unknown, where the server asks for keys.",
    "404": "There is no such job: it was withdrawn, is no longer kept, or never was.",
    "405": "Not for this address; see Allow.",
    "409": "The job has no result yet.",
    "429": "Too many requests from this client; see Retry-After.",
    "503": "Not ready, or jobs cannot be kept just now.",
}
JOB_SCHEMAS: Json = {
    "JobTaken": closed(id=_TEXT, status_url=_TEXT),
    "Job": {
        "type": "object",
        "required": ["id", "state", "created", "ended", "status"],
        "properties": {
            "id": _TEXT,
            "state": {"enum": ["queued", "running", "done", "failed"]},
            "created": _MOMENT,
            "ended": {"anyOf": [_MOMENT, {"type": "null"}]},
            "status": {"type": ["integer", "null"], "description": "Of the answer, once there is one."},
            "result_url": _TEXT,
            "result": {"description": "The answer of a job that is done, where it is JSON."},
            "error": {"description": "The answer of a job that failed, where it is JSON."},
        },
        "additionalProperties": False,
    },
}
_JOB_ID = {"name": "job_id", "in": "path", "required": True, "schema": _TEXT}
PURPOSE: Json = {
    "name": "purpose",
    "in": "query",
    "description": "Why it is asked, where no user asks: logged, and left out of monitoring.",
    "schema": {"enum": list(PURPOSES)},
}
LATER: Json = {
    "name": "async",
    "in": "query",
    "description": "Answer later: 202 with the job's address.",
    "allowEmptyValue": True,
    "schema": {"enum": ["", "1", "true", "0", "false"]},
}
KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "With `async`: the same request under the same key is the same job.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}


def takes_jobs(operation: Json) -> Json:
    """A prediction that can also be answered later."""
    location = {"Location": {"description": "Address of the job.", "schema": _TEXT}}
    taken = {**_answer("Taken: the answer comes later.", ref("JobTaken")), "headers": location}
    other = _answer("The Idempotency-Key was used for another request.", ref("Error"))
    responses = {**operation["responses"], "202": taken, "422": other}
    return {**operation, "parameters": [*operation["parameters"], LATER, KEY], "responses": responses}


def job_paths() -> dict[str, Json]:
    """Addresses of jobs."""
    result = {
        "200": {
            "description": "The model's answer, byte for byte as a waiting client would have had it.",
            "content": {"application/json": {"schema": {}}, "application/octet-stream": {"schema": {}}},
        },
        "default": _answer("The model's refusal, or there is nothing to fetch.", ref("Error")),
    }
    job = {
        "get": _operation("job", "How far a job is.", {"200": _answer("The job.", ref("Job"))}),
        "delete": _operation("job.cancel", "Forget a job.", {"204": {"description": "Forgotten."}}),
    }
    return {
        "/v2/jobs/{job_id}": {"parameters": [_JOB_ID], **job},
        "/v2/jobs/{job_id}/result": {
            "parameters": [_JOB_ID],
            "get": _operation("job.result", "A job's answer.", result),
        },
    }


def _operation(key: str, says: str, responses: Json) -> Json:
    errors = {status: _answer(text, ref("Error")) for status, text in _ERRORS.items()}
    return {"operationId": key, "summary": says, "responses": {**errors, **responses}}


def _answer(says: str, schema: Json) -> Json:
    return {"description": says, "content": {"application/json": {"schema": schema}}}
