from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpu_clouds.skypilot import log_lines
from gpu_clouds.skypilot.log_lines import Line, LineSplitter, Progress

HEARTBEAT = b'<sky-payload>"<heartbeat></heartbeat>"</sky-payload>\n'
WAITING = b"Waiting for 'sky.launch' request to be scheduled" + b" " * 4096 + b"\n"


def split(pieces: Iterable[bytes], *, end: bool = True) -> list[Line]:
    splitter = LineSplitter()
    found = [line for piece in pieces for line in splitter.feed(piece)]
    return found + (list(splitter.end()) if end else [])


def texts(pieces: Iterable[bytes]) -> list[str]:
    return [line.text for line in split(pieces)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"10%\r20%\r30%\n", ["10%", "20%", "30%"]),
        (b"10%\r", ["10%"]),
        (b"a\r\r\nb\n", ["a", "", "b"]),
        ("grün\n".encode(), ["grün"]),
        (b"\xff\xfe\n", ["��"]),
        (b"\x1b[32mok\x1b[0m\n", ["ok"]),
        (HEARTBEAT, []),
        (b"a\n" + HEARTBEAT + b"b\n", ["a", "b"]),
        (b"half of a " + HEARTBEAT + b"line\n", ["half of a line"]),
        (b"a " + HEARTBEAT + b"b " + HEARTBEAT + b"c\n", ["a b c"]),
        (b"cut off " + HEARTBEAT, ["cut off "]),
        (b"<sky-payload>not json</sky-payload>\n", ["<sky-payload>not json</sky-payload>"]),
        (b"said <sky-payload> and more\n", ["said <sky-payload> and more"]),
        (b"</sky-payload>\n", ["</sky-payload>"]),
        (b'<sky-payload type="x">{"a": 1}</sky-payload>\nb\n', ["b"]),
    ],
)
def test_lines(data: bytes, expected: list[str]) -> None:
    assert texts([data]) == expected
    assert texts(data[index : index + 1] for index in range(len(data))) == expected


PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"\r", b"\n", b"\r\n", HEARTBEAT, WAITING, b"text\n", "ü".encode()]),
    ),
    max_size=20,
)


@settings(deadline=None)
@given(PIECES, st.lists(st.integers(0, 10_000), max_size=10))
@example([b"a\r", b"\n"], [2])
def test_where_a_stream_is_cut_into_pieces_changes_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(pieces)
    edges = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    cut_up = [whole[start:end] for start, end in pairwise(edges)]
    assert split(cut_up) == split([whole])


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=8), max_size=20),
    st.data(),
)
def test_heartbeats_anywhere_change_nothing(lines: list[str], data: st.DataObject) -> None:
    plain = "".join(f"{line}\n" for line in lines).encode()
    at = data.draw(st.integers(0, len(plain)))
    assert split([plain[:at] + HEARTBEAT + plain[at:]]) == split([plain])


def test_a_log_counts_alike_before_and_after_its_line_ends_were_translated() -> None:
    live = b"start\n10%\r20%\r\n\rdone\n"
    assert texts([live]) == texts([live.replace(b"\r\n", b"\n").replace(b"\r", b"\n")])


def test_a_stream_without_line_ends_fills_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_lines, "_LONGEST_LINE", 10)
    expected = ["0123456789"] * 3 + ["01"]
    assert texts([b"0123456789" * 3 + b"01\n"]) == expected
    assert texts([b"0123456"] + [b"7890123456"] * 2 + [b"78901\n"]) == expected
    splitter = LineSplitter()
    for _ in range(100):
        list(splitter.feed(b"x" * 7))
    assert len(splitter._rest) <= 10


def test_notes_of_the_stream_are_not_counted() -> None:
    found = split([WAITING, b"INFO: Waiting 1s for the logs to be written...\n", b"a line\n"])
    assert [line.counted for line in found] == [False, False, True]
    assert found[0].text == "Waiting for 'sky.launch' request to be scheduled"


def lines(*names: str) -> list[Line]:
    return [Line(name) for name in names]


@settings(deadline=None)
@given(st.lists(st.text(max_size=4), max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_every_line_comes_once_however_often_the_stream_breaks(log: list[str], breaks: list[int]) -> None:
    progress, got = Progress(), list[str]()
    for place in [*breaks, len(log)]:
        progress.reconnected()
        got += progress.accept(lines(*log[:place]))
    assert got == log


def test_a_note_comes_once_and_only_after_what_was_delivered() -> None:
    progress = Progress()
    note = Line("waiting", counted=False)
    assert list(progress.accept([note, *lines("a", "b")])) == ["waiting", "a", "b"]
    progress.reconnected()
    assert list(progress.accept([note, *lines("a", "b", "c"), Line("still waiting", counted=False)])) == [
        "c",
        "still waiting",
    ]


def test_secrets_are_taken_out() -> None:
    progress = Progress(secrets=frozenset({"canary-value"}))
    assert list(progress.accept(lines("the canary-value is here", "Bearer abcdefgh"))) == [
        "the [removed] is here",
        "Bearer [removed]",
    ]
