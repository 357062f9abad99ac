"""What a startup script sets and starts, read without running it: a stand-in for booting it."""

from __future__ import annotations

import re
import shlex

from emulators.node_tls import served_certificate

_EXPORT = re.compile(r"^export ([A-Za-z_][A-Za-z0-9_]*)=", re.MULTILINE)


def exported(script: str) -> dict[str, str]:
    """What the `export NAME=value` lines of a script set.

    Values may be bare, quoted in either way, or mixed. Nothing is expanded: `$HOME` stays `$HOME`. A
    value whose quotes do not end is left out, as a shell would fail there.
    """
    found: dict[str, str] = {}
    at = 0
    while match := _EXPORT.search(script, at):
        value, at = _word(script, match.end())
        if value is not None:
            found[match[1]] = value
    return found


def served_model(script: str) -> str:
    """The model that the container of a script serves, by its arguments; empty where they do not tell."""
    words = _container(script)
    for flag in ("--served-model-name", "--model"):
        for index, word in enumerate(words):
            if word == flag and index + 1 < len(words):
                return words[index + 1]
            if word.startswith(f"{flag}="):
                return word.partition("=")[2]
    return ""


def published_ports(script: str) -> list[int]:
    """The ports of the machine that its container publishes."""
    return [int(text.partition(":")[0]) for text in _values(_container(script), "--publish")]


def certificate_of(script: str, env: dict[str, str]) -> str:
    """Key and certificate of the container's server, see `served_certificate`."""
    words = _container(script)
    mounts = {inside: outside for outside, inside, *_ in (m.split(":") for m in _values(words, "--volume"))}
    return served_certificate(script, env, words, mounts)


def _container(script: str) -> list[str]:
    """The words of the first `docker run`; none where there is none."""
    for line in script.splitlines():
        if line.startswith("docker run "):
            try:
                return shlex.split(line)
            except ValueError:
                continue
    return []


def _values(words: list[str], option: str) -> list[str]:
    return [words[index + 1] for index, word in enumerate(words[:-1]) if word == option]


def _word(text: str, at: int) -> tuple[str | None, int]:
    """One word of a shell from a position on, and where it ends; None where its quotes do not."""
    parts: list[str] = []
    while at < len(text) and text[at] not in " \t\n;":
        letter = text[at]
        if letter == "'":
            end = text.find("'", at + 1)
            if end < 0:
                return None, len(text)
            parts.append(text[at + 1 : end])
            at = end + 1
        elif letter == '"':
            at += 1
            while at < len(text) and text[at] != '"':
                if text[at] == "\\" and text[at + 1 : at + 2] in ("\\", '"', "$", "`"):
                    at += 1
                parts.append(text[at])
                at += 1
            if at >= len(text):
                return None, at
            at += 1
        elif letter == "\\" and at + 1 < len(text):
            parts.append(text[at + 1])
            at += 2
        else:
            parts.append(letter)
            at += 1
    return "".join(parts), at
