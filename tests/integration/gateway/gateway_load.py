"""What the tests of the gateway share: waiting, asking, and a load whose every end is counted."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable

import httpx

from serving.rollout.local import LocalTarget
from serving.rollout.target import Revision

INFER = "/v2/models/m/infer"


def until(question: Callable[[], object], limit_s: float = 90.0) -> None:
    deadline = time.monotonic() + limit_s
    while not question():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def complete(target: LocalTarget, name: str) -> bool:
    readiness = target.ready(name)
    return readiness is not None and readiness.complete


def route(target: LocalTarget, weights: dict[str, int], mirror: str | None = None) -> None:
    target.route(weights, mirror=mirror)

    def in_effect() -> bool:
        routing = target.routing()
        shares = {name: w for name, w in routing.weights.items() if w} if routing else {}
        return routing is not None and shares == weights and routing.mirror == mirror

    until(in_effect)


def deploy(target: LocalTarget, revision: Revision, replicas: int = 1) -> None:
    target.deploy(revision, replicas=replicas)
    until(lambda: complete(target, revision.id))


def ask(target: LocalTarget, times: int, **headers: str) -> Counter[tuple[int, str]]:
    with httpx.Client(base_url=target.gateway_url, headers=headers) as client:
        answers = [client.post(INFER, content=b"{}") for _ in range(times)]
    return Counter((answer.status_code, answer.headers["x-revision"]) for answer in answers)


async def load(url: str, stop: asyncio.Event, clients: int) -> Counter[str]:
    """Keep `clients` requests in flight until told to stop; count how they end. A connection lives on."""
    host, port = url.removeprefix("http://").split(":")
    request = f"POST {INFER} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    ends: Counter[str] = Counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while not stop.is_set():
            try:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                await reader.readexactly(int(head.split("content-length: ")[1].split("\r\n")[0]))
                ends[head.split()[1]] += 1
            except (asyncio.IncompleteReadError, OSError) as error:
                ends[type(error).__name__] += 1
                reader, writer = await asyncio.open_connection(host, int(port))
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    return ends


def under_load(target: LocalTarget, work: Callable[[], None], clients: int = 60) -> Counter[str]:
    async def run() -> Counter[str]:
        stop = asyncio.Event()
        requests = asyncio.create_task(load(target.gateway_url, stop, clients))
        await asyncio.to_thread(work)
        stop.set()
        return await requests

    return asyncio.run(run())


def pids(target: LocalTarget) -> list[int]:
    status = target.status()
    assert status is not None
    replicas = [replica.pid for fleet in status.revisions.values() for replica in fleet.replicas]
    return [pid for pid in (status.envoy_pid, *replicas) if pid]
