"""FakeKubernetesApi: the API server over HTTP, with KServe's webhooks and controller behind it.

What it answers is pinned to recordings of a real one, see test_kserve_recorded.py. It serves one namespace,
checks no credentials, and keeps everything in memory.
"""

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import yaml
from aiohttp import web
from fake_admission import admit, prune
from fake_controller import ISVC, Controller, Kubelet
from fake_objects import MODIFIED, Object, Objects, Refusal, json_patch, merge

_POLL_S = 0.02


class FakeKubernetesApi:
    """A server on a free port. `auto` lets the controllers run by themselves; without, tests say when."""

    def __init__(self, kubelet: Kubelet, *, auto: bool = False) -> None:
        self.objects = Objects()
        self.controller = Controller(self.objects, kubelet)
        self.kubelet = kubelet
        self.calls: list[tuple[str, str]] = []
        self.refusals: list[int] = []
        """Status codes for the next calls, before anything is looked at."""
        self.before_write: Callable[[], None] | None = None
        """Called once before the next write: somebody else is faster."""
        self.port = 0
        self._auto = auto
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def kubeconfig(self, folder: Path) -> Path:
        cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}
        context = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "default"}}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster],
            "users": [{"name": "u", "user": {}}],
            "contexts": [context],
            "current-context": "x",
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(content))
        return path

    def settle(self) -> None:
        """Let the controllers run until nothing moves."""
        self.do(self.controller.settle)

    def do(self, act: Callable[[], Any]) -> Any:
        """Run something between two requests."""

        async def call() -> Any:
            return act()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(90)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        while not self._stopping.is_set():
            if self._auto:
                self.controller.reconcile()
            await asyncio.sleep(_POLL_S)
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.calls.append((request.method, request.path))
        try:
            self._interfere(request)
            return await self._answer(request)
        except Refusal as refusal:
            return _json(refusal.status(), refusal.code)

    def _interfere(self, request: web.Request) -> None:
        if self.refusals:
            raise Refusal(self.refusals.pop(0), "InternalError", "etcdserver: request timed out")
        if self.before_write and request.method != "GET":
            act, self.before_write = self.before_write, None
            act()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        parts = request.path.strip("/").split("/")
        place = parts[parts.index("namespaces") + 2 :]
        resource, name, rest = place[0], *[*place[1:2], ""][:1], place[2:]
        if rest and rest[0] == "proxy":
            path = "/" + "/".join(rest[1:]) + (f"?{request.query_string}" if request.query_string else "")
            return await self._proxy(request, name.partition(":")[0], path)
        if request.method == "GET" and request.query.get("watch") in {"true", "True", "1"}:
            return await self._watch(request, resource)
        if request.method == "GET":
            return _json(self._read(resource, name, request.query.get("labelSelector", "")))
        body = json.loads(await request.text() or "null")
        return self._write(request, resource, name, rest, body)

    def _read(self, resource: str, name: str, selector: str) -> Object:
        if not name:
            return {
                "kind": "List",
                "apiVersion": "v1",
                "metadata": {},
                "items": self.objects.list(resource, selector),
            }
        return self._found(resource, name)

    def _found(self, resource: str, name: str) -> Object:
        found = self.objects.get(resource, name)
        if found is None:
            raise Refusal(404, "NotFound", f'{resource} "{name}" not found')
        return found

    def _write(
        self, request: web.Request, resource: str, name: str, rest: list[str], body: Any
    ) -> web.StreamResponse:
        dry = request.query.get("dryRun") == "All"
        strict = request.query.get("fieldValidation") == "Strict"
        if request.method == "POST":
            return _json(self._create(resource, body, dry=dry, strict=strict), 201)
        before = self._found(resource, name)
        if request.method == "DELETE":
            return _json(self.objects.delete(resource, name) or {})
        _require_version(resource, name, before, body)
        wanted = _wanted(request, before, body)
        if rest == ["status"]:
            wanted = {**before, "status": wanted.get("status")}
        else:
            wanted = self._admitted(resource, wanted, before, strict=strict)
        if dry:
            return _json(wanted)
        return _json(self.objects.update(resource, wanted))

    def _create(self, resource: str, body: Object, *, dry: bool, strict: bool) -> Object:
        if resource != ISVC:
            return self.objects.create(resource, body)
        name = body["metadata"]["name"]
        if self.objects.get(resource, name):
            raise Refusal(409, "AlreadyExists", f'{resource}.serving.kserve.io "{name}" already exists')
        body.pop("status", None)
        body = admit(prune(body, strict=strict), None)
        if dry:
            return body
        made = self.objects.create(resource, body)
        self.controller.adopt(made)
        return made

    def _admitted(self, resource: str, wanted: Object, before: Object, *, strict: bool) -> Object:
        if resource != ISVC:
            return wanted
        if "status" in before:
            wanted["status"] = before["status"]
        else:
            wanted.pop("status", None)
        return admit(prune(wanted, strict=strict), before)

    async def _proxy(self, request: web.Request, pod: str, path: str) -> web.StreamResponse:
        self._found("pods", pod)
        if request.method == "POST":
            asked = await request.read()
            answer = await asyncio.to_thread(self.kubelet.ask, pod, path, asked)
        else:
            text = await asyncio.to_thread(self.kubelet.metrics, pod)
            answer = None if text is None else (200, text.encode())
        if answer is None:
            raise Refusal(503, "ServiceUnavailable", "error trying to reach service: connection refused")
        return web.Response(status=answer[0], body=answer[1])

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        seen = 0
        end = self._loop.time() + float(request.query.get("timeoutSeconds", "30"))
        assert self._stopping is not None
        while self._loop.time() < end and not self._stopping.is_set():
            for kind, event, one in self.objects.events[seen:]:
                if kind == resource:
                    line = json.dumps({"type": event, "object": one})
                    await response.write(line.encode() + b"\n")
            seen = len(self.objects.events)
            await asyncio.sleep(_POLL_S)
        return response


def _json(body: Object, status: int = 200) -> web.Response:
    text = json.dumps(body, separators=(",", ":"))
    return web.Response(text=text, status=status, content_type="application/json")


def _require_version(resource: str, name: str, before: Object, body: Any) -> None:
    asked = (body.get("metadata") or {}).get("resourceVersion") if isinstance(body, dict) else None
    if asked is not None and asked != before["metadata"]["resourceVersion"]:
        text = f'Operation cannot be fulfilled on {resource}.serving.kserve.io "{name}": {MODIFIED}'
        raise Refusal(409, "Conflict", text)


def _wanted(request: web.Request, before: Object, body: Any) -> Object:
    if request.method == "PUT":
        return body
    if request.content_type == "application/json-patch+json":
        return json_patch(before, body)
    if request.content_type == "application/merge-patch+json":
        return merge(before, body)
    raise Refusal(415, "UnsupportedMediaType", f"{request.content_type} is no patch that this server knows")
