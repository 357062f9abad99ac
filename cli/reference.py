"""Keeps docs/cli.md true: `python -m cli.reference` writes what each command takes, between its marks."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
_BLOCK = re.compile(r"<!-- options of (?P<name>[a-z -]+) -->\n.*?<!-- end -->", re.DOTALL)


def commands() -> dict[str, Any]:
    """Every command by what is typed for it: `offers`, `dev up`."""
    from cli.main import app

    return dict(_walk("", typer.main.get_command(app)))


def with_options(page: str) -> str:
    """The page with what the commands take now.

    Args:
        page: The text of docs/cli.md.
    """
    known = commands()

    def block(found: re.Match[str]) -> str:
        name = found["name"]
        lines = "\n".join(_lines(name, known[name])) if name in known else "There is no such command."
        return f"<!-- options of {name} -->\n{lines}\n<!-- end -->"

    return _BLOCK.sub(block, page)


def described(page: str) -> list[str]:
    """The commands that the page has a block for, in its order."""
    return [found["name"] for found in _BLOCK.finditer(page)]


def _walk(prefix: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield prefix, command
        return
    for name, each in inner.items():
        yield from _walk(f"{prefix} {name}".strip(), each)


def _lines(name: str, command: Any) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    words = " ".join(each.name.upper() if each.required else f"[{each.name.upper()}]" for each in arguments)
    more = " [-- …]" if command.context_settings.get("allow_extra_args") else ""
    yield f"`gpuplane {name}{' ' + words if words else ''}{' [options]' if options else ''}{more}`"
    yield ""
    yield inspect.cleandoc(command.help or "").replace("<", "&lt;")
    if not arguments and not options:
        return
    yield ""
    yield "| | |"
    yield "|---|---|"
    for each in arguments:
        yield f"| `{each.name.upper()}` | {each.help} |"
    for each in options:
        names = ", ".join(f"`{text}`" for text in (*each.opts, *each.secondary_opts))
        yield f"| {names} | {each.help}{_from(each)} |"


def _from(option: Any) -> str:
    return f" Also from `{option.envvar}`." if option.envvar else ""


def main() -> None:
    """Writes the page again."""
    PAGE.write_text(with_options(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
