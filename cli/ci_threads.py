"""One comment, or one issue, that is found again by a marker in it and then updated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from cli.ci_forge import Entry, Forge
from cli.ci_http import ApiError

LABEL = "gpuplane-drift"
LONGEST = 65_000
"""Characters of a comment: GitHub takes 65,536."""
_CUT = "\n\n*Cut here: the whole report is in the job's summary and among its artefacts.*\n"
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it.

    Attributes:
        what: `created`, `updated`, `closed`, or `nothing` where there was nothing to close.
        url: Where people see it.
    """

    what: Literal["created", "updated", "closed", "nothing"]
    url: str = ""


def marker(kind: str, stack: str) -> str:
    """The first line of a text of ours; Markdown does not show it.

    Args:
        kind: `preview`, `drift`, …
        stack: Name of the stack; each has a comment of its own.
    """
    return f"<!-- gpuplane:{_word(kind)}:{_word(stack)} -->"


def _word(text: str) -> str:
    # Two dashes would end the comment early.
    return quote(text, safe="/.", errors="replace").replace("--", "-%2D")


def keep_comment(forge: Forge, number: int, mark: str, text: str) -> Done:
    """Writes the comment, or replaces the text of the one that is there; doubles are deleted.

    Args:
        forge: GitHub or GitLab.
        number: Of the pull or merge request.
        mark: Its marker.
        text: Markdown.

    Raises:
        ApiError: It could not be done.
    """
    body = _marked(mark, text)

    def attempt() -> Done:
        first, doubles = _ours(forge.comments(number), forge.me(), mark)
        if first is None:
            return Done("created", forge.add_comment(number, body).url)
        done = Done("updated", forge.change_comment(number, first.id, body).url)
        for double in doubles:
            forge.drop_comment(number, double.id)
        return done

    return _until_known(attempt)


def keep_issue(forge: Forge, mark: str, title: str, text: str) -> Done:
    """Opens the issue, or replaces the text of the open one.

    Args:
        forge: GitHub or GitLab.
        mark: Its marker.
        title: Of a new one.
        text: Markdown.

    Raises:
        ApiError: It could not be done.
    """
    body = _marked(mark, text)

    def attempt() -> Done:
        first, _ = _ours(forge.issues(LABEL), forge.me(), mark)
        if first is None:
            return Done("created", forge.add_issue(title, LABEL, body).url)
        return Done("updated", forge.change_issue(first.id, body, close=False).url)

    return _until_known(attempt)


def close_issue(forge: Forge, mark: str, text: str) -> Done:
    """Closes the open issue, if there is one.

    Args:
        forge: GitHub or GitLab.
        mark: Its marker.
        text: Its last text, Markdown.

    Raises:
        ApiError: It could not be done.
    """
    first, _ = _ours(forge.issues(LABEL), forge.me(), mark)
    if first is None:
        return Done("nothing")
    return Done("closed", forge.change_issue(first.id, _marked(mark, text), close=True).url)


def _marked(mark: str, text: str) -> str:
    room = LONGEST - len(mark) - 1
    if len(text) > room:
        text = text[: room - len(_CUT)].rpartition("\n")[0] + _CUT
    return f"{mark}\n{text}"


def _ours(entries: Iterable[Entry], me: str, mark: str) -> tuple[Entry | None, Sequence[Entry]]:
    # Only those that this token wrote: anybody can write our marker into a comment of theirs.
    found = [entry for entry in entries if entry.author == me and entry.body.startswith(mark)]
    return (found[0], found[1:]) if found else (None, ())


def _until_known(attempt: Callable[[], Done]) -> Done:
    # Without an answer a comment may have been written or not: look again, so that there is never a second.
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except ApiError as error:
            if error.status:
                raise
    return attempt()
