"""A log server on 127.0.0.1 that breaks its connections."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.skypilot.client.harness import ID, record


class DroppingServer:
    """Streams a log, and cuts each connection after so many bytes.

    Attributes:
        cuts: Bytes after which each connection is cut, one after the other; then the log comes whole.
        growth: What the log is at each connection, one after the other; the last stays.
        seen: Path and body of each request.
    """

    def __init__(self, log: bytes, cuts: list[int], growth: list[bytes] | None = None) -> None:
        self.log = log
        self.cuts = list(cuts)
        self.growth = list(growth or [])
        self.result = record("SUCCEEDED", return_value="0")
        self.seen: list[tuple[str, Any]] = []
        self.lock = threading.Lock()

    def next(self) -> tuple[bytes, int | None]:
        with self.lock:
            log = self.growth.pop(0) if self.growth else self.log
            return log, self.cuts.pop(0) if self.cuts else None


@contextmanager
def serving(server: DroppingServer) -> Iterator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(None)

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        def answer(self, body: Any) -> None:
            with server.lock:
                server.seen.append((self.path, body))
            if self.path.startswith("/api/get"):
                text = json.dumps(server.result).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                return
            log, cut = server.next()
            self.send_response(200)
            self.send_header("x-skypilot-request-id", ID)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            sent = log if cut is None else log[:cut]
            for start in range(0, len(sent), 97):
                piece = sent[start : start + 97]
                self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            if cut is None:
                self.wfile.write(b"0\r\n\r\n")
            else:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_address[1]}"
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
