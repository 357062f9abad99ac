"""Which properties of a resource are secrets.

The SDK hands secrets to a policy as plain values, unmarked. The engine's request still says which are
secret; the pack's server reads that before the policies run (serving.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from pulumi_policy.deserialize import SPECIAL_SECRET_SIG, SPECIAL_SIG_KEY

from policies.reading import Path

_paths: ContextVar[frozenset[Path]] = ContextVar("hidden_paths", default=frozenset())


def hidden_paths() -> frozenset[Path]:
    """Paths of the secrets of the resource that is looked at; what is below such a path is secret too."""
    return _paths.get()


@contextmanager
def hiding(paths: frozenset[Path]) -> Iterator[None]:
    """Sets them while a resource is looked at."""
    before = _paths.set(paths)
    try:
        yield
    finally:
        _paths.reset(before)


def secret_paths(props: Any, here: Path = ()) -> frozenset[Path]:
    """Paths of the secrets in the properties of a request.

    Args:
        props: Properties as the engine sends them, as JSON.
        here: Path of these.
    """
    if isinstance(props, Mapping):
        if props.get(SPECIAL_SIG_KEY) == SPECIAL_SECRET_SIG:
            return frozenset({here})
        below = [secret_paths(value, (*here, key)) for key, value in props.items()]
    elif isinstance(props, list):
        below = [secret_paths(value, (*here, index)) for index, value in enumerate(props)]
    else:
        return frozenset()
    return frozenset().union(*below)
