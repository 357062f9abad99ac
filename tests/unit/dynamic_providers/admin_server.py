"""A stand-in for the gateway's admin endpoint: the table of nodes, as its contract says, on 127.0.0.1."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "canary-admin-token-1"


@dataclass
class Admin:
    """What it knows and was asked.

    Attributes:
        url: Where it answers.
        token: The token that it takes.
        nodes: Name -> node, with its key.
        states: Name -> state; `healthy` for others.
        calls: Method and rest of the path of every call.
        status: Answers this instead, if not 0.
    """

    url: str = ""
    token: str = TOKEN
    nodes: dict[str, dict[str, Any]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    status: int = 0


@contextmanager
def admin_server() -> Iterator[Admin]:
    """Runs one; it is gone at the end."""
    admin = Admin()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            parts = urlsplit(self.path)
            name = parts.path.removeprefix("/admin/v1/nodes/")
            drain = parse_qs(parts.query).get("drain_s", [""])[0]
            admin.calls.append((self.command, f"{name}?{drain}" if drain else name))
            if admin.status:
                self._send(admin.status, {"error": {"message": "canary of the gateway", "type": "x"}})
            elif self.headers.get("authorization") != f"Bearer {admin.token}":
                self._send(401, {"error": {"message": "wrong token"}})
            elif self.command == "PUT":
                admin.nodes[name] = {**body, "name": name}
                self._send(200, self._shown(name))
            elif self.command == "GET":
                known = name in admin.nodes
                missing = {"error": {"message": "no such node"}}
                self._send(200 if known else 404, self._shown(name) if known else missing)
            else:
                admin.nodes.pop(name, None)
                self._send(204, None)

        do_GET = do_PUT = do_DELETE = _answer

        def _shown(self, name: str) -> dict[str, Any]:
            shown = {key: value for key, value in admin.nodes[name].items() if key != "apiKey"}
            return {**shown, "state": admin.states.get(name, "healthy"), "inFlight": 0}

        def _send(self, status: int, body: object) -> None:
            text = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            if status != 204:
                self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    admin.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield admin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
