"""A Docker daemon that holds no image, and pulls as badly as a test wants."""

from __future__ import annotations

import json
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class StubDaemon:
    """What the daemon does; ``pulls`` counts the images that it was asked to pull."""

    def __init__(self, pull: Callable[[Callable[[dict[str, object]], None]], None]) -> None:
        self.pull = pull
        self.pulls: list[str] = []
        self.hangs = False
        self.closing = threading.Event()
        self.host = ""
        self.info: dict[str, object] = {}
        """What it says of itself."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub: StubDaemon

    def address_string(self) -> str:
        return "a Unix socket"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.stub.hangs:
            self.stub.closing.wait()
            return
        if self.path.endswith("/version"):
            self._answer(200, {"ApiVersion": "1.41", "MinAPIVersion": "1.12", "Version": "20.stub"})
        elif self.path.endswith("/_ping"):
            self._answer(200, "OK")
        elif self.path.endswith("/info"):
            self._answer(200, self.stub.info)
        else:
            self._answer(404, {"message": "no such image"})

    def do_POST(self) -> None:
        self.stub.pulls.append(self.path)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def say(event: dict[str, object]) -> None:
            line = json.dumps(event).encode() + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))

        self.stub.pull(say)
        self.wfile.write(b"0\r\n\r\n")

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients of a daemon that hangs go away, which is what is tested."""


@contextmanager
def stub_daemon(
    pull: Callable[[Callable[[dict[str, object]], None]], None],
) -> Iterator[StubDaemon]:
    """A daemon on a socket of its own; ``pull(say)`` says events until it returns."""
    stub = StubDaemon(pull)
    with tempfile.TemporaryDirectory(prefix="stub-") as folder:
        path = Path(folder) / "docker.sock"
        handler = type("Handler", (_Handler,), {"stub": stub})
        server = _Server(str(path), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stub.host = f"unix://{path}"
        try:
            yield stub
        finally:
            stub.closing.set()
            server.shutdown()
            thread.join()
            server.server_close()
