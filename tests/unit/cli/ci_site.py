"""A stand-in for the parts of GitHub's and GitLab's REST APIs that comments and issues need.

It keeps comments and issues, pages them, checks the token, and can be told to limit, refuse or lose calls.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

TOKEN = "canary-token-3f7d"
PAGE = 2
"""Entries a page, whatever is asked for: three comments are two pages."""


@dataclass
class Call:
    """One request."""

    method: str
    path: str
    token: str
    body: dict[str, Any]


@dataclass
class Site:
    """The stand-in.

    Attributes:
        host: `github` or `gitlab`.
        me: Who writes with the token.
        bot: Whether the token may not ask who it is (GitHub's own of a job).
        reads_only: Whether writes are refused, as for pull requests from forks.
        fault: Takes a call and gives an answer in its place, or None.
        lost: Whether a call is carried out and its answer lost.
    """

    host: str
    me: str = "github-actions[bot]"
    bot: bool = True
    reads_only: bool = False
    calls: list[Call] = field(default_factory=list)
    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    fault: Callable[[Call], httpx.Response | None] = field(default=lambda _call: None)
    lost: Callable[[Call], bool] = field(default=lambda _call: False)

    def plant(self, body: str, author: str = "") -> dict[str, Any]:
        """Writes a comment as somebody."""
        self.comments.append(self._entry(body, author or self.me))
        return self.comments[-1]

    def writes(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.calls if call.method != "GET"]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        header = "private-token" if self.host == "gitlab" else "authorization"
        token = request.headers.get(header, "").removeprefix("Bearer ")
        body = json.loads(request.content) if request.content else {}
        call = Call(request.method, request.url.path, token, body)
        self.calls.append(call)
        if (said := self.fault(call)) is not None:
            return said
        if token != TOKEN:
            return httpx.Response(401, json={"message": "Bad credentials"})
        if self.reads_only and call.method != "GET":
            return httpx.Response(403, json={"message": "Resource not accessible by integration"})
        answer = self._answer(call, request.url)
        if self.lost(call):
            raise httpx.ReadTimeout("lost", request=request)
        return answer

    def _answer(self, call: Call, url: httpx.URL) -> httpx.Response:
        path = call.path.removeprefix("/api/v4")
        if path == "/user":
            if self.bot:
                return httpx.Response(403, json={"message": "Resource not accessible by integration"})
            return httpx.Response(200, json={"login": self.me, "username": self.me})
        comment = r"/repos/o/r/issues/comments/(\d+)|/projects/7/merge_requests/\d+/notes/(\d+)"
        if found := re.fullmatch(comment, path):
            return self._change(self.comments, int(found[1] or found[2]), "id", call)
        if re.fullmatch(r"/repos/o/r/issues/\d+/comments|/projects/7/merge_requests/\d+/notes", path):
            return self._list_or_add(self.comments, call, url)
        if found := re.fullmatch(r"/repos/o/r/issues/(\d+)|/projects/7/issues/(\d+)", path):
            return self._change(self.issues, int(found[1] or found[2]), "iid", call)
        if path in ("/repos/o/r/issues", "/projects/7/issues"):
            return self._list_or_add(self.issues, call, url)
        return httpx.Response(404, json={"message": "Not Found"})

    def _list_or_add(self, entries: list[dict[str, Any]], call: Call, url: httpx.URL) -> httpx.Response:
        if call.method == "POST":
            entries.append(self._entry(call.body.get("body") or call.body.get("description", ""), self.me))
            entries[-1].update({key: call.body[key] for key in ("title", "labels") if key in call.body})
            return httpx.Response(201, json=entries[-1])
        listed = [entry for entry in entries if entry["state"] in ("open", "opened")]
        page = int(url.params.get("page", "1"))
        shown = listed[(page - 1) * PAGE : page * PAGE]
        more = {"Link": f'<{url.copy_set_param("page", str(page + 1))}>; rel="next"'}
        return httpx.Response(200, json=shown, headers=more if page * PAGE < len(listed) else {})

    def _change(self, entries: list[dict[str, Any]], number: int, key: str, call: Call) -> httpx.Response:
        entry = next((entry for entry in entries if entry[key] == number), None)
        if entry is None or call.method not in ("PATCH", "PUT", "DELETE"):
            return httpx.Response(404, json={"message": "Not Found"})
        if call.method == "DELETE":
            entries.remove(entry)
            return httpx.Response(204)
        for name in ("body", "description"):
            if name in call.body:
                entry["body"] = entry["description"] = call.body[name]
        if call.body.get("state") == "closed" or call.body.get("state_event") == "close":
            entry["state"] = "closed"
        return httpx.Response(200, json=entry)

    def _entry(self, body: str, author: str) -> dict[str, Any]:
        number = len(self.comments) + len(self.issues) + 101
        return {
            "id": number,
            "iid": number,
            "number": number,
            "body": body,
            "description": body,
            "state": "open",
            "user": {"login": author},
            "author": {"username": author},
            "html_url": f"https://ci.invalid/{number}",
            "web_url": f"https://ci.invalid/{number}",
        }
