"""The model repository extension over HTTP: index, load, unload."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from serving.runtime.codecs import headers_of
from serving.runtime.journal import journal
from serving.runtime.json_text import loads
from serving.runtime.problems import RequestError
from serving.runtime.reply import error_body, json_body
from serving.runtime.repository import Repository
from serving.runtime.served import Handler
from serving.runtime.transport import Head, Respond

INDEX = "/v2/repository/index"
MODELS = "/v2/repository/models/"
VERBS = ("load", "unload")


class Control:
    """Answers below `/v2/repository`, on a thread of its own: loading takes its time."""

    def __init__(self, repository: Repository, revision: str) -> None:
        """`revision` names the answers."""
        self.repository = repository
        self._headers = headers_of(revision)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="repository")

    def handler(self, path: str) -> Handler | None:
        """What answers a POST to an address; None where there is no such address."""
        if path == INDEX:
            return self._handler(self._index)
        name, _, verb = path.removeprefix(MODELS).rpartition("/")
        if not path.startswith(MODELS) or verb not in VERBS or not name:
            return None
        change = self.repository.load if verb == "load" else self.repository.unload

        def changed(_body: bytes) -> object:
            change(name)
            journal(f"{verb}ed", model=name)
            return {"name": name, verb: True}

        return self._handler(changed)

    def close(self) -> None:
        """Let what is being loaded finish."""
        self._thread.shutdown(wait=True)

    def _index(self, body: bytes) -> object:
        document = loads(body) if body.strip() else {}
        ready = document.get("ready", False) if isinstance(document, dict) else None
        if not isinstance(ready, bool):
            raise RequestError('expected nothing, or a JSON object like {"ready": true}')
        return self.repository.index(ready=ready)

    def _handler(self, do: Callable[[bytes], object]) -> Handler:
        def answer(body: bytes, respond: Respond) -> None:
            try:
                respond(200, self._headers, json_body(do(body)))
            except RequestError as error:
                respond(error.status, self._headers, error_body(str(error)))
            except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
                journal("repository_failed", error=repr(error))
                respond(500, self._headers, error_body("internal error"))

        def handle(_head: Head, body: bytes, respond: Respond, _start_ns: int) -> None:
            self._thread.submit(answer, body, respond)

        return handle
