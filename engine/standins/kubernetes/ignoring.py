"""`ignoreChanges`: what somebody else sets, such as the replicas that an autoscaler wants, stays as it is."""

import copy
import re
from collections.abc import Iterable
from typing import Any

from engine.standins.kubernetes.values import Object, Path, at

_STEP = re.compile(r'\.?([A-Za-z_$][\w$-]*)|\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]')


def parse(text: str) -> Path:
    """The steps of a place, as the engine writes it; empty for one with `*` or one that is none."""
    steps: list[str | int] = []
    end = 0
    while end < len(text):
        found = _STEP.match(text, end)
        if found is None:
            return ()
        name, quoted, index = found.groups()
        steps.append(name if name else int(index) if index else re.sub(r"\\(.)", r"\1", quoted))
        end = found.end()
    return tuple(steps)


def with_live_values(body: Object, live: Object, ignored: Iterable[str]) -> Object:
    """An object as it is to be stored, with what is ignored as the server has it.

    A value that is the same as the server's takes it from nobody, and it does not go when others give it up.

    Args:
        body: what the program wants; it is not changed.
        live: what the server has.
        ignored: the places of `ignoreChanges`.
    """
    wanted = copy.deepcopy(body)
    for path in map(parse, ignored):
        value = at(live, path)
        if not path or value is None:
            continue
        place: Any = at(wanted, path[:-1])
        fits = isinstance(place, dict) or (isinstance(place, list) and at(wanted, path) is not None)
        if fits:
            place[path[-1]] = value
    return wanted
