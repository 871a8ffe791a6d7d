#!/usr/bin/env python3
"""The protocol of metricd, served by asyncio: what metricd is measured and compared with.

    python3 asyncio_reference.py [HOST [PORT]] [--uvloop]

Standard library only, unless --uvloop asks for the loop of that name. It is the
plain server that one would write first, neither slowed down nor tuned.

It differs from metricd: it takes whatever one read returns for one request, and so cannot be pipelined;
it takes timestamps beyond signed 64 bits, and digits of other scripts; and it buffers without limit.
"""

import argparse
import asyncio
import signal

WRONG_COMMAND = "error\nwrong command\n\n"


class WrongCommand(ValueError):
    """The request is none that the server knows."""


class MetricsProtocol(asyncio.Protocol):
    """One client's connection. The points belong to the class: all clients share them."""

    storage: dict[str, dict[int, float]] = {}

    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answers what has been received as one request, once it ends in a newline."""
        self.buffer += data
        if not self.buffer.endswith(b"\n"):
            return
        request, self.buffer = self.buffer, b""
        try:
            reply = self.execute(request.decode())
        except ValueError:  # a wrong command, a bad number, or bytes that are not UTF-8
            reply = WRONG_COMMAND
        self.transport.write(reply.encode())

    def execute(self, request: str) -> str:
        """Carries out one request and returns the reply to it."""
        words = request.split()
        if len(words) == 4 and words[0] == "put":
            return self.put(words[1], float(words[2]), int(words[3]))
        if len(words) == 2 and words[0] == "get":
            return self.get(words[1])
        raise WrongCommand(request)

    def put(self, key: str, value: float, timestamp: int) -> str:
        """Stores one point; the last put at a timestamp wins."""
        self.storage.setdefault(key, {})[timestamp] = value
        return "ok\n\n"

    def get(self, key: str) -> str:
        """Lists the points of one series, or of all for ``*``, each series by timestamp."""
        keys = self.storage if key == "*" else [key]
        reply = "ok\n"
        for key in keys:
            for timestamp, value in sorted(self.storage.get(key, {}).items()):
                reply += f"{key} {value} {timestamp}\n"
        return reply + "\n"


async def serve(host: str, port: int) -> None:
    """Serves until SIGINT or SIGTERM, and says on standard output where."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(MetricsProtocol, host, port)
    # With port 0 the system chose the port, and whoever started the server waits for it here.
    address, bound_port = server.sockets[0].getsockname()[:2]
    print(f"listening on {address}:{bound_port}", flush=True)
    await stopped.wait()
    # Without wait_closed(), which waits for every client that is still connected.
    server.close()


def run_server(host: str, port: int, run=asyncio.run) -> None:
    """Runs the whole server, as one call, until it is stopped by a signal."""
    run(serve(host, int(port)))


def main() -> None:
    parser = argparse.ArgumentParser(description="The asyncio reference of metricd.")
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("port", nargs="?", default=8888, type=int)
    parser.add_argument("--uvloop", action="store_true", help="run on uvloop, where installed")
    options = parser.parse_args()
    if options.uvloop:
        import uvloop

        run_server(options.host, options.port, uvloop.run)
    else:
        run_server(options.host, options.port)


if __name__ == "__main__":
    main()
