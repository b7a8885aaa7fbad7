"""A Locust user that sends what is due, when it is due. Importing this monkey-patches the process."""

from contextlib import suppress
from typing import Any

from gevent.event import Event
from locust import FastHttpUser, constant, task
from locust.exception import StopUser

from loadtests.offer import Answer, Due, Offer
from loadtests.outcomes import NO_ANSWER

_HEADERS = {"Content-Type": "application/json"}


class ModelUser(FastHttpUser):
    """One connection. Takes the next request of the shared offer, waits until it is due, sends it."""

    abstract = True
    wait_time = constant(0)
    max_retries = 0  # a retry would hide the failure it repeats
    max_redirects = 0

    offer: Offer
    begun: Event
    ended: Event
    model: str
    purpose: str = "user"
    revisions: tuple[str, ...] = ()
    """The two that are compared; none: the gateway decides who answers."""

    def on_start(self) -> None:
        """Open the connection before the clock runs, then wait for the start."""
        with suppress(Exception):  # the first scheduled request will tell what is wrong
            self.client.client.urlopen(f"{self.host}/v2/models/{self.model}/ready", method="GET")
        self.offer.connected += 1
        self.begun.wait()

    @task
    def ask(self) -> None:
        """One request."""
        request = self.offer.take()
        if request is None:
            raise StopUser
        if request.due > self.offer.clock():
            self.ended.wait(request.due - self.offer.clock())
        if not self.offer.withdrawn(request):
            self._send(request)

    def _send(self, request: Due) -> None:
        sent = self.offer.clock()
        with self.client.post(
            self._address(),
            data=request.body,
            headers=self._headers(request),
            catch_response=True,
        ) as response:
            ended = self.offer.clock()
            self.offer.record(request, sent, ended, answer_of(response))
            # Locust's own tables shall show the corrected latency too.
            response.request_meta["response_time"] = (ended - request.due) * 1000.0

    def _address(self) -> str:
        return f"/v2/models/{self.model}/infer" + (
            "" if self.purpose == "user" else f"?purpose={self.purpose}"
        )

    def _headers(self, request: Due) -> dict[str, str]:
        return _HEADERS if request.arm is None else {**_HEADERS, "x-revision": self.revisions[request.arm]}


def answer_of(response: Any) -> Answer:
    """Status, revision and the first line of what went wrong."""
    status = int(response.status_code or NO_ANSWER)
    revision = (response.headers or {}).get("x-revision") or ""
    if 200 <= status < 300:  # noqa: PLR2004 - HTTP
        return Answer(status, revision, "")
    text = (response.text or "") if status else _why_no_answer(response)
    return Answer(status, revision, f"{status or 'no answer'}: {' '.join(text.split())[:200]}")


def _why_no_answer(response: Any) -> str:
    """The socket's own words, out of the client library's wrapping."""
    text = str(getattr(response, "error", "") or "no reason given")
    return text.partition("original=")[2] or text
