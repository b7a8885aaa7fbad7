"""Answers V2 requests: fast, slow, failing or stalling once. Prints its port.

Usage: tiny_server.py [--delay-ms D] [--status S] [--stall-at N --stall-s T] [--hang] [--log FILE]
"""

import argparse
import asyncio

REPLY = b'{"model_name":"credit","outputs":[]}'


class Behaviour:
    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.asked = 0
        self.open_at = 0.0

    async def answer(self) -> bytes:
        loop = asyncio.get_running_loop()
        self.asked += 1
        if self.asked == self.options.stall_at:
            self.open_at = loop.time() + self.options.stall_s
        delay = max(self.options.delay_ms / 1000, self.open_at - loop.time())
        if self.options.hang:
            delay = 3600.0
        if delay > 0:
            await asyncio.sleep(delay)
        status = self.options.status
        return (
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nx-revision: r{1 + self.asked % 2}\r\n"
            f"Content-Length: {len(REPLY)}\r\n\r\n"
        ).encode() + REPLY


async def converse(behaviour: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (
                    int(line.split(b":")[1])
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length")
                ),
                0,
            )
            body = await reader.readexactly(length)
            if head.startswith(b"GET"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            if behaviour.options.log:
                with open(behaviour.options.log, "ab") as log:  # noqa: ASYNC230, PTH123 - a test's log
                    log.write(body + b"\n")
            writer.write(await behaviour.answer())
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay-ms", type=float, default=0)
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--stall-at", type=int, default=-1)
    parser.add_argument("--stall-s", type=float, default=0)
    parser.add_argument("--hang", action="store_true")
    parser.add_argument("--log")
    behaviour = Behaviour(parser.parse_args())
    server = await asyncio.start_server(lambda r, w: converse(behaviour, r, w), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads the port
    await server.serve_forever()


asyncio.run(main())
