"""Text from outside in Markdown: a real parser sees it as text, and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from cli.preview.markdown import safe, table

PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+")
INVISIBLE = "\u200b"
NASTY = st.text(st.sampled_from("ab1 \t\n|`*_[]()<>&\\~#@!$^:/.-+=\"'{}\u202e\ud800é。&;x"), max_size=60)
ANY = st.one_of(st.text(max_size=60), NASTY)


def plain(markdown: str) -> str:
    """What a reader of a paragraph sees; fails where it is more than text."""
    blocks = PARSER.parse(markdown)
    assert [block.type for block in blocks] == ["paragraph_open", "inline", "paragraph_close"]
    children = blocks[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    return "".join(child.content for child in children)


def seen(text: str) -> str:
    return UNSEEN.sub(" ", text).strip()


@given(ANY)
def test_text_stays_text(text: str) -> None:
    assert plain(f"a {safe(text)} b").replace(INVISIBLE, "") == f"a {seen(text)} b"


@given(ANY)
def test_at_the_start_of_a_line_too(text: str) -> None:
    shown = safe(text)
    if shown:
        assert plain(shown).replace(INVISIBLE, "") == seen(text)


@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=5))
def test_a_cell_stays_a_cell(rows: list[tuple[str, str]]) -> None:
    text = table(("A", "B"), [[safe(cell) for cell in cells] for cells in rows])
    tokens = PARSER.parse(text)
    cells = [
        "".join(child.content for child in tokens[place + 1].children or []).replace(INVISIBLE, "")
        for place, token in enumerate(tokens)
        if token.type == "td_open"
    ]
    assert cells == [seen(cell) for cells in rows for cell in cells]
    assert not any(token.type.startswith("html") for token in tokens)


@given(ANY)
def test_nobody_is_called_and_nothing_is_linked(text: str) -> None:
    shown = plain(f"a {safe(text, 100)}")
    assert not re.search(r"[@#!%^]\w|\w://|\bwww\.", shown, re.IGNORECASE)
    shown.encode()


@given(st.text(max_size=2000), st.integers(2, 300))
def test_no_longer_than_asked_for(text: str, most: int) -> None:
    assert len(plain("a" + safe(text, most)).replace(INVISIBLE, "")) <= most + 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("on_demand | x", r"on\_demand \| x"),
        ("@org/team fixes #12", "@&#8203;org/team fixes #&#8203;12"),
        ("<img src=x>", "&lt;img src=x&gt;"),
        ("see https://example.org", "see https:&#8203;//example.org"),
        ("two\nlines", "two lines"),
        ("/close", "/close"),
        ("- item", r"\- item"),
    ],
)
def test_examples(text: str, shown: str) -> None:
    assert safe(text) == shown
