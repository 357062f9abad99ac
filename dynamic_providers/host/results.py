"""What a provider can answer beyond the results of `pulumi.dynamic`.

Both classes are harmless under the SDK's own host: `DetailedDiff` is a `DiffResult` there, and `PartialState`
an ordinary error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any

from pulumi.dynamic import DiffResult


class PartialState(Exception):
    """A create, update or read that failed half-way: the resource exists, but is not as declared.

    The engine keeps the id and the outputs together with the reasons and calls the operation failed. The next
    `up` updates the resource, the next `destroy` deletes it.

    Args:
        id: The cloud's id; never empty.
        outs: All outputs, as a create or update would return them.
        reasons: What is wrong; one line each. The first is the head line.
    """

    def __init__(self, id: str, outs: Mapping[str, Any], reasons: str | Iterable[str]) -> None:
        self.id = id
        self.outs = dict(outs)
        self.reasons = [reasons] if isinstance(reasons, str) else list(reasons)
        if not id:
            raise ValueError("a partial state needs the id of the thing that exists")
        if not self.reasons:
            raise ValueError("a partial state needs at least one reason")
        super().__init__("\n".join(self.reasons))


class Kind(StrEnum):
    """What happens to one property; the `*_REPLACE` kinds replace the whole resource."""

    ADD = "add"
    DELETE = "delete"
    UPDATE = "update"
    ADD_REPLACE = "add_replace"
    DELETE_REPLACE = "delete_replace"
    UPDATE_REPLACE = "update_replace"

    @property
    def replaces(self) -> bool:
        """True when a change of this kind replaces the resource."""
        return self.value.endswith("_replace")


class DetailedDiff(DiffResult):
    """A diff that says for every property what happens to it; the command line shows exactly these.

    Args:
        detailed: Property path (`gpu`, `env.TOKEN`, `ports[0]`) to kind. Empty: no change.
        stables: Outputs that an update never changes, such as an address.
        delete_before_replace: Delete the old resource before the new one is made.
    """

    def __init__(
        self,
        detailed: Mapping[str, Kind | str],
        *,
        stables: list[str] | None = None,
        delete_before_replace: bool | None = None,
    ) -> None:
        self.detailed = {path: Kind(kind) for path, kind in detailed.items()}
        replaces = sorted({root_of(path) for path, kind in self.detailed.items() if kind.replaces})
        super().__init__(
            changes=bool(self.detailed),
            replaces=replaces,
            stables=stables,
            delete_before_replace=delete_before_replace,
        )


_QUOTED = re.compile(r'\["((?:[^"\\]|\\.)*)"\]')


def root_of(path: str) -> str:
    """The top-level property of a property path: `env` for `env.TOKEN` and `ports` for `ports[0]`."""
    if quoted := _QUOTED.match(path):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    return path.partition(".")[0].partition("[")[0]
