"""The older V1 protocol: `{"instances": [row, …]}`, a row being a list or an object by name."""

from serving.runtime.columns import Columns
from serving.runtime.json_text import loads
from serving.runtime.parsed import Parsed, checked_id
from serving.runtime.problems import RequestError
from serving.runtime.records import Rows


class V1Decoder:
    """Requests of one model."""

    __slots__ = ("_rows",)

    def __init__(self, columns: Columns) -> None:
        """Know the model's columns."""
        self._rows = Rows(columns)

    def decode(self, body: bytes) -> Parsed:
        """A request's rows in matrix order.

        Raises:
            RequestError: The body is no V1 request for this model; the message says why.
        """
        document = loads(body)
        instances = document.get("instances") if isinstance(document, dict) else None
        if not isinstance(instances, list) or not instances:
            raise RequestError("expected a JSON object with a list `instances` of one row or more")
        parsed = self._rows.parsed(instances, "instances")
        parsed.request_id = checked_id(document.get("id"))
        return parsed
