"""What runs on a machine, read from its user data. A stand-in for a boot: nothing of it is executed.

A real machine runs its user data, and whatever that starts answers on its ports. Here the text is only looked
through for `docker run`: the ports that it publishes, the environment that it hands over (`--env NAME=value`,
`--env NAME` out of a written file of assignments, `--env-file`) and the model in its arguments. A machine
whose user data start no container has no port that answers.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

import yaml

_RUN = re.compile(r"docker\"?(?:\s+--host\s+\S+)?\s+run\s")
_ASSIGNMENT = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_ALONE = frozenset(
    {"-d", "--detach", "--rm", "-i", "-t", "-it", "--init", "--privileged", "--interactive", "--tty", "-P"}
)
"""Flags of `docker run` without a value; all others are taken to have one."""


@dataclass(frozen=True, slots=True)
class Guest:
    """The container of a machine.

    Attributes:
        image: Its image; empty: there is no container.
        env: Its environment.
        ports: Ports of the machine that it publishes.
        arguments: What follows the image.
    """

    image: str = ""
    env: dict[str, str] = field(default_factory=dict, repr=False)
    ports: frozenset[int] = frozenset()
    arguments: tuple[str, ...] = ()

    @property
    def model(self) -> str:
        """Name of the model that it serves: from its arguments, from MODEL, or the built-in one."""
        for flag in ("--served-model-name", "--model"):
            for index, word in enumerate(self.arguments):
                if word == flag and index + 1 < len(self.arguments):
                    return self.arguments[index + 1]
                if word.startswith(f"{flag}="):
                    return word.partition("=")[2]
        return self.env.get("MODEL", "tiny-markov")


def guest_of(user_data: str) -> Guest:
    """The container that user data would start, the last of several; an empty guest where there is none."""
    files, texts = _parts(user_data)
    guest = Guest()
    for text in [*files.values(), *texts]:
        match = _RUN.search(text)
        if match is None:
            continue
        try:
            words = shlex.split(_rest_of_command(text, match.end()))
        except ValueError:
            continue
        guest = _guest(words, files) or guest
    return guest


def _parts(user_data: str) -> tuple[dict[str, str], list[str]]:
    """Files that are written, by path, and the texts of commands."""
    if not user_data.startswith("#cloud-config"):
        return {}, [user_data]
    try:
        config = yaml.safe_load(user_data)
    except yaml.YAMLError:
        return {}, []
    if not isinstance(config, dict):
        return {}, []
    files = {}
    for one in config.get("write_files") or []:
        if isinstance(one, dict) and isinstance(one.get("content"), str):
            files[str(one.get("path"))] = _content(one)
    commands = [*(config.get("bootcmd") or []), *(config.get("runcmd") or [])]
    return files, [_command(one) for one in commands]


def _content(file: dict[str, Any]) -> str:
    if file.get("encoding") not in ("b64", "base64"):
        return str(file["content"])
    try:
        return base64.b64decode(file["content"]).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _command(command: object) -> str:
    """A command as text: the script of `[bash, -c, script]`, other lists as words."""
    if not isinstance(command, list):
        return str(command)
    words = [str(word) for word in command]
    return words[2] if len(words) == 3 and words[1] in ("-c", "-lc") else shlex.join(words)


def _rest_of_command(text: str, start: int) -> str:
    """The command from `start` to its end of line, `)`, `;`, `|` or `&` outside of quotes, in one line."""
    quote, found, index = "", "", start
    while index < len(text):
        letter = text[index]
        if letter == "\\" and quote != "'" and index + 1 < len(text):
            index += 1
            pair = letter + text[index]
            found += " " if pair == "\\\n" and not quote else pair
        elif not quote and letter in "\n);|&":
            break
        else:
            if quote:
                quote = "" if letter == quote else quote
            elif letter in "'\"":
                quote = letter
            found += letter
        index += 1
    return found


def _guest(words: list[str], files: dict[str, str]) -> Guest | None:
    env: dict[str, str] = {}
    ports: set[int] = set()
    written: dict[str, str] = {}
    for content in files.values():
        written |= assignments(content)
    index = 0
    while index < len(words) and words[index].startswith("-"):
        flag, equals, value = words[index].partition("=")
        if flag in _ALONE:
            index += 1
            continue
        if not equals:
            index += 1
            value = words[index] if index < len(words) else ""
        index += 1
        if flag in ("-e", "--env"):
            name, given, text = value.partition("=")
            if given or name in written:
                env[name] = text if given else written[name]
        elif flag == "--env-file":
            for line in files.get(value, "").splitlines():
                name, given, text = line.partition("=")
                if given and not line.startswith("#"):
                    env[name] = text
        elif flag in ("-p", "--publish"):
            outside = value.rpartition(":")[0].rpartition(":")[2] or value
            if outside.partition("/")[0].isdigit():
                ports.add(int(outside.partition("/")[0]))
    if index >= len(words):
        return None
    return Guest(words[index], env, frozenset(ports), tuple(words[index + 1 :]))


def assignments(text: str) -> dict[str, str]:
    """The `NAME=value` of a file that holds nothing else, quoted as for a shell; empty for any other file."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return {}
    found = {}
    for word in words:
        if word == "export":
            continue
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            return {}
        found[match[1]] = match[2]
    return found
