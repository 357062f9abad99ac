"""The rule of names in the stack file."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stack_config.errors import Problem

LONGEST_NODE_NAME = 24
"""Characters of a node's name; it is part of the marker, and clouds limit the length of names."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


def name_rule(path: str, name: str) -> Iterator[Problem]:
    """What is wrong with a name.

    Args:
        path: Full path of the key that it is.
        name: The name.
    """
    if not _NAME.fullmatch(name):
        yield Problem(path, "a name has lower-case letters, digits and inner hyphens only", _slug(name))


def _slug(name: str) -> str:
    """The valid name nearest to a bad one."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
