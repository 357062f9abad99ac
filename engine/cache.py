"""The folder outside the checkout where engines are kept, and how a part of it is made exactly once."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


def cache_root(variables: Mapping[str, str] = os.environ) -> Path:
    """`$XDG_CACHE_HOME/gpuplane/engine`, by default below `~/.cache`.

    Args:
        variables: the environment. A relative XDG_CACHE_HOME is ignored, as its specification asks.
    """
    base = Path(variables.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():
        base = Path(variables.get("HOME") or Path.home()) / ".cache"
    return base / "gpuplane" / "engine"


def digest(words: Iterable[str], files: Iterable[Path] = ()) -> str:
    """A key of 16 hexadecimal digits: changes when a word, or the name or content of a file, changes."""
    total = hashlib.sha256()
    for word in words:
        total.update(b"word\0" + word.encode() + b"\0")
    for file in sorted(files):
        total.update(b"file\0" + file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:16]


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(
            lock, fcntl.LOCK_EX
        )  # released when the file is closed, so also when this process is killed
        yield


def make_once(root: Path, name: str, fill: Callable[[Path], None]) -> Path:
    """Returns the folder `root/name`, filled by `fill` unless it is there.

    It is filled under a temporary name and then renamed, so a folder of this name is always complete. Two
    processes that ask at the same time fill it once: the second waits for the first.

    Args:
        root: the cache's folder.
        name: the folder to make, one path part.
        fill: writes the content into the empty folder that it is given. What it raises is passed on.
    """
    target = root / name
    if target.is_dir():
        return target
    with _locked(root):
        if target.is_dir():
            return target
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
        try:
            fill(work)
            work.chmod(0o755)
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return target
