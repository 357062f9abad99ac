"""What is done at GitHub or GitLab: comments of a pull or merge request, and issues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote

from cli.ci_http import Api, ApiError
from cli.ci_job import Job

_ACTIONS_BOT = "github-actions[bot]"
"""Who writes with a job's own GITHUB_TOKEN; that token may not ask who it is."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A comment, or an issue.

    Attributes:
        id: Its number in the API.
        body: Its Markdown.
        author: Who wrote it.
        url: Where people see it.
    """

    id: int
    body: str
    author: str
    url: str


class Forge(Protocol):
    """The calls that are needed of either."""

    def me(self) -> str:
        """Who writes with this token."""

    def comments(self, number: int) -> Iterator[Entry]:
        """Comments of a pull or merge request, oldest first."""

    def add_comment(self, number: int, body: str) -> Entry:
        """Writes a comment."""

    def change_comment(self, number: int, comment: int, body: str) -> Entry:
        """Replaces a comment's text."""

    def drop_comment(self, number: int, comment: int) -> None:
        """Deletes a comment."""

    def issues(self, label: str) -> Iterator[Entry]:
        """Open issues with a label."""

    def add_issue(self, title: str, label: str, body: str) -> Entry:
        """Opens an issue."""

    def change_issue(self, issue: int, body: str, *, close: bool) -> Entry:
        """Replaces an issue's text, and closes it if asked to."""


class GitHub:
    """GitHub's REST API, version 2022-11-28 (docs.github.com/rest/issues).

    Args:
        api: The API, with the token.
        repository: `owner/name`.
    """

    def __init__(self, api: Api, repository: str) -> None:
        self._api = api
        self._at = f"/repos/{repository}/issues"

    def me(self) -> str:
        """Who writes with this token."""
        try:
            return str(self._api.call("GET", "/user")["login"])
        except ApiError as error:
            if not error.may_not:
                raise
            return _ACTIONS_BOT

    def comments(self, number: int) -> Iterator[Entry]:
        """Comments of a pull request, oldest first."""
        return map(self._entry, self._api.pages(f"{self._at}/{number}/comments?per_page=100"))

    def add_comment(self, number: int, body: str) -> Entry:
        """Writes a comment."""
        return self._entry(self._api.call("POST", f"{self._at}/{number}/comments", {"body": body}))

    def change_comment(self, number: int, comment: int, body: str) -> Entry:
        """Replaces a comment's text."""
        return self._entry(self._api.call("PATCH", f"{self._at}/comments/{comment}", {"body": body}))

    def drop_comment(self, number: int, comment: int) -> None:
        """Deletes a comment."""
        self._api.call("DELETE", f"{self._at}/comments/{comment}")

    def issues(self, label: str) -> Iterator[Entry]:
        """Open issues with a label; GitHub lists pull requests among them, which are left out."""
        query = f"?state=open&labels={quote(label)}&sort=created&direction=asc&per_page=100"
        listed = self._api.pages(self._at + query)
        return (self._entry(issue, "number") for issue in listed if "pull_request" not in issue)

    def add_issue(self, title: str, label: str, body: str) -> Entry:
        """Opens an issue."""
        content = {"title": title, "body": body, "labels": [label]}
        return self._entry(self._api.call("POST", self._at, content), "number")

    def change_issue(self, issue: int, body: str, *, close: bool) -> Entry:
        """Replaces an issue's text, and closes it if asked to."""
        content = {"body": body, **({"state": "closed"} if close else {})}
        return self._entry(self._api.call("PATCH", f"{self._at}/{issue}", content), "number")

    @staticmethod
    def _entry(found: dict[str, Any], key: str = "id") -> Entry:
        author = str((found.get("user") or {}).get("login", ""))
        return Entry(int(found[key]), str(found.get("body") or ""), author, str(found.get("html_url", "")))


class GitLab:
    """GitLab's REST API, version 4 (docs.gitlab.com/api/notes, /api/issues).

    Args:
        api: The API, with the token.
        project: The project's number.
    """

    def __init__(self, api: Api, project: str) -> None:
        self._api = api
        self._at = f"/projects/{quote(project, safe='')}"

    def me(self) -> str:
        """Who writes with this token."""
        return str(self._api.call("GET", "/user")["username"])

    def comments(self, number: int) -> Iterator[Entry]:
        """Comments of a merge request, oldest first."""
        path = f"{self._at}/merge_requests/{number}/notes?sort=asc&order_by=created_at&per_page=100"
        return (self._entry(note) for note in self._api.pages(path) if not note.get("system"))

    def add_comment(self, number: int, body: str) -> Entry:
        """Writes a comment."""
        return self._entry(
            self._api.call("POST", f"{self._at}/merge_requests/{number}/notes", {"body": body})
        )

    def change_comment(self, number: int, comment: int, body: str) -> Entry:
        """Replaces a comment's text."""
        path = f"{self._at}/merge_requests/{number}/notes/{comment}"
        return self._entry(self._api.call("PUT", path, {"body": body}))

    def drop_comment(self, number: int, comment: int) -> None:
        """Deletes a comment."""
        self._api.call("DELETE", f"{self._at}/merge_requests/{number}/notes/{comment}")

    def issues(self, label: str) -> Iterator[Entry]:
        """Open issues with a label."""
        query = f"?state=opened&labels={quote(label)}&order_by=created_at&sort=asc&per_page=100"
        return (self._entry(issue, "iid") for issue in self._api.pages(f"{self._at}/issues{query}"))

    def add_issue(self, title: str, label: str, body: str) -> Entry:
        """Opens an issue."""
        content = {"title": title, "description": body, "labels": label}
        return self._entry(self._api.call("POST", f"{self._at}/issues", content), "iid")

    def change_issue(self, issue: int, body: str, *, close: bool) -> Entry:
        """Replaces an issue's text, and closes it if asked to."""
        content = {"description": body, **({"state_event": "close"} if close else {})}
        return self._entry(self._api.call("PUT", f"{self._at}/issues/{issue}", content), "iid")

    @staticmethod
    def _entry(found: dict[str, Any], key: str = "id") -> Entry:
        author = str((found.get("author") or {}).get("username", ""))
        body = str(found.get("body") or found.get("description") or "")
        return Entry(int(found[key]), body, author, str(found.get("web_url", "")))


def forge_of(job: Job, api: Api) -> Forge:
    """The one that a job runs at.

    Args:
        job: Its host is not empty.
        api: See `api_of`.
    """
    return GitHub(api, job.repository) if job.host == "github" else GitLab(api, job.repository)


def headers_of(job: Job) -> dict[str, str]:
    """What every call of a job's API carries."""
    if job.host == "gitlab":
        return {"PRIVATE-TOKEN": job.token}
    return {
        "Authorization": f"Bearer {job.token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
        "User-Agent": "gpuplane",
    }
