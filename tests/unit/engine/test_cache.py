"""The cache: keys, and folders that are made exactly once or not at all."""

import multiprocessing
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cache import cache_root, digest, make_once


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/gpuplane/engine"),
        ({"HOME": "/h"}, "/h/.cache/gpuplane/engine"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/gpuplane/engine"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/gpuplane/engine"),
    ],
)
def test_where_the_cache_is(variables, expected):
    assert cache_root(variables) == Path(expected)


words = st.lists(st.text(max_size=5), max_size=4)


@given(words, words)
def test_keys_are_equal_only_for_equal_words(left, right):
    assert (digest(left) == digest(right)) == (left == right)


def test_a_key_changes_with_a_files_name_and_content(tmp_path):
    keys = set()
    for name, content in [("a", "1"), ("a", "2"), ("b", "1")]:
        file = tmp_path / name
        file.write_text(content)
        keys.add(digest([], [file]))
    assert len(keys) == 3


def test_a_failed_fill_leaves_nothing_and_the_next_one_fills(tmp_path):
    def fail(work: Path) -> None:
        (work / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        make_once(tmp_path, "part", fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]
    assert (make_once(tmp_path, "part", lambda work: (work / "whole").touch()) / "whole").exists()


def _fill_slowly(work: Path) -> None:
    with (work.parent / "fills").open("a") as record:
        record.write("x")
    (work / "first").touch()
    time.sleep(0.3)
    (work / "second").touch()


def _make(root: Path) -> bool:
    folder = make_once(root, "part", _fill_slowly)
    return (folder / "first").exists() and (folder / "second").exists()


def test_two_processes_fill_once_and_both_see_the_whole(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(_make, [tmp_path, tmp_path], chunksize=1) == [True, True]
    assert (tmp_path / "fills").read_text() == "x"
