"""docs/cli.md says what the commands take, no less and no more."""

from __future__ import annotations

import re

from cli.reference import PAGE, commands, described, with_options

PAGE_TEXT = PAGE.read_text(encoding="utf-8")


def test_the_page_says_what_the_commands_take() -> None:
    assert with_options(PAGE_TEXT) == PAGE_TEXT, "run `python -m cli.reference`"


def test_every_command_is_on_the_page_once() -> None:
    assert sorted(described(PAGE_TEXT)) == sorted(commands())


def test_every_option_in_the_text_exists() -> None:
    known = {
        option
        for command in commands().values()
        for each in command.params
        for option in (*each.opts, *each.secondary_opts)
    }
    blocks = re.findall(r"```\n\$ gpuplane .*?\n", PAGE_TEXT)
    shown = {option for line in blocks for option in re.findall(r"(?<= )--[a-z-]+", line)}
    assert shown
    assert shown <= known


def test_every_option_has_a_help() -> None:
    missing = [
        f"{name} {each.name}"
        for name, command in commands().items()
        for each in command.params
        if not getattr(each, "help", None)
    ]
    assert missing == []


def test_a_block_of_an_unknown_command_does_not_pass_for_one() -> None:
    page = "<!-- options of nothing -->\nold\n<!-- end -->"
    assert "There is no such command." in with_options(page)
