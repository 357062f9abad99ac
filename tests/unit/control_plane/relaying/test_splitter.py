import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.gateway.relaying.lost import Lost
from control_plane.gateway.relaying.splitter import Splitter, events

LINES = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1, max_size=20)
EVENTS = st.lists(st.lists(LINES, min_size=1, max_size=3), max_size=6)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(ends)]


@given(EVENTS, st.sampled_from(["\n", "\r\n", "\r"]), st.lists(st.integers(0, 10_000), max_size=12), LINES)
def test_any_cut_gives_the_same_events(given_events, end, places, rest):
    data = "".join(end.join(lines) + end + end for lines in given_events).encode()
    splitter = Splitter(1 << 20)
    got: list[bytes] = []
    for piece in cut(data + rest.encode(), places):
        blob = splitter.feed(piece)
        if blob:
            assert blob.endswith(b"\n\n")
            got += events(blob)
    assert got == ["\n".join(lines).encode() + b"\n\n" for lines in given_events]
    assert splitter.rest == rest.encode()


def test_an_event_without_an_end_is_bounded():
    splitter = Splitter(100)
    splitter.feed(b"x" * 100)
    with pytest.raises(Lost):
        splitter.feed(b"x")
