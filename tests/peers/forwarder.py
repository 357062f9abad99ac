"""A proxy in front of a SkyPilot server, as there is one in front of every server that others can reach.

The server trusts requests from its own machine unless a header says that they were forwarded. This adds the
header, so that a test on the same machine is asked for credentials, and it counts what arrives.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PER_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass
class Forwarder:
    """What went through.

    Args:
        port: of 127.0.0.1, where it listens.
        seen: method, path and status of each request, in the order of the answers.
    """

    port: int
    seen: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        """The paths that were asked for so far."""
        return [path for _, path, _ in self.seen]


@contextmanager
def forwarder(server_port: int) -> Iterator[Forwarder]:
    """A proxy in front of the server at this port of 127.0.0.1, as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length) if length else None
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in _PER_CONNECTION
            }
            upstream = http.client.HTTPConnection("127.0.0.1", server_port, timeout=300)
            try:
                upstream.request(self.command, self.path, body, {**headers, "X-Forwarded-For": "192.0.2.1"})
                answer = upstream.getresponse()
                seen.seen.append((self.command, self.path.split("?")[0], answer.status))
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in _PER_CONNECTION:
                        self.send_header(name, value)
                self.send_header("connection", "close")
                self.end_headers()
                while chunk := answer.read1(65536):
                    self.wfile.write(chunk)
                    self.wfile.flush()
            except OSError:
                pass  # the client or the server went away; the connection ends
            finally:
                upstream.close()
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on

        def log_message(self, *_: object) -> None:
            """Says nothing: `seen` is the log."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    seen = Forwarder(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
