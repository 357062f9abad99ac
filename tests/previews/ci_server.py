"""The stand-in for GitHub's and GitLab's APIs on a port of 127.0.0.1."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

from tests.unit.cli.ci_site import Site


@contextmanager
def served(site: Site) -> Iterator[str]:
    """Serves it for as long as the context lasts; gives the base URL without a path."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = f"http://127.0.0.1:{self.server.server_port}{self.path}"  # type: ignore[attr-defined]  # of HTTPServer
            said = site(httpx.Request(self.command, url, headers=dict(self.headers), content=content))
            self.send_response(said.status_code)
            for name, value in said.headers.items():
                if name.lower() != "content-length":
                    self.send_header(name, value)
            self.send_header("content-length", str(len(said.content)))
            self.end_headers()
            self.wfile.write(said.content)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
