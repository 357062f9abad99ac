"""Faults that somebody asked for: counted or lasting, for some requests only.

A fault is data: `{"kind": "create_then_500", "count": 1, "name": "gp-*"}`. What a kind does is the
cloud's business; which requests it hits is decided here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from emulators.clock import SettingError


@dataclass(slots=True)
class Fault:
    """One fault.

    Attributes:
        kind: What goes wrong; the cloud's documentation lists the kinds.
        id: Given by the emulator, for clearing it.
        cloud: Name of the cloud, `*` for all.
        count: How many requests it still hits; None: all until cleared.
        skip: How many matching requests it lets pass first.
        probability: Of hitting a request that matches.
        method: HTTP method, `*` for all.
        path: Path pattern with `*`.
        name: Pattern for the node's name, where the request concerns a node.
        account: Account, `*` for all.
        args: What the kind needs: a status, a delay.
        hits: How often it has hit.
    """

    kind: str
    id: str = ""
    cloud: str = "*"
    count: int | None = None
    skip: int = 0
    probability: float = 1.0
    method: str = "*"
    path: str = "*"
    name: str = "*"
    account: str = "*"
    args: dict[str, Any] = field(default_factory=dict)
    hits: int = 0

    def number(self, key: str, default: float) -> float:
        """A number among the arguments."""
        value = self.args.get(key, default)
        return float(value) if isinstance(value, (int, float)) else default

    def text(self, key: str, default: str) -> str:
        """A text among the arguments."""
        value = self.args.get(key, default)
        return value if isinstance(value, str) else default


_TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "cloud": (str,),
    "count": (int, type(None)),
    "skip": (int,),
    "probability": (int, float),
    "method": (str,),
    "path": (str,),
    "name": (str,),
    "account": (str,),
    "args": (dict,),
}


class Faults:
    """The faults that are set.

    Args:
        kinds: The kinds that exist; another one is refused, so that a misspelt test fails.
        seed: Of the draw for `probability`.
        changed: Called after each change, to save it.
    """

    def __init__(
        self, kinds: frozenset[str], seed: int = 0, changed: Callable[[], None] = lambda: None
    ) -> None:
        self.kinds = kinds
        self._random = random.Random(seed)
        self._faults: dict[str, Fault] = {}
        self._serial = 0
        self._changed = changed

    def add(self, description: object) -> Fault:
        """Sets a fault from its JSON.

        Raises:
            SettingError: Unknown kind or key, or a value of the wrong type.
        """
        if not isinstance(description, Mapping) or "kind" not in description:
            raise SettingError('a fault is an object with at least "kind"')
        for key, value in description.items():
            wanted = _TYPES.get(key)
            if wanted is None:
                raise SettingError(f"a fault has no key {key!r}; it has {', '.join(_TYPES)}")
            if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
                raise SettingError(f"fault key {key!r} can not be {value!r}")
        if description["kind"] not in self.kinds:
            raise SettingError(
                f"there is no fault {description['kind']!r}; there are {', '.join(sorted(self.kinds))}"
            )
        self._serial += 1
        fault = Fault(**description, id=f"f{self._serial}")
        self._faults[fault.id] = fault
        self._changed()
        return fault

    def clear(self, fault_id: str | None = None) -> int:
        """Clears one fault, or all. Returns how many."""
        cleared = [fault_id] if fault_id in self._faults else []
        if fault_id is None:
            cleared = list(self._faults)
        for key in cleared:
            del self._faults[str(key)]
        self._changed()
        return len(cleared)

    def list(self) -> list[dict[str, Any]]:
        """All faults that are set, spent ones too (count 0)."""
        return [asdict(fault) for fault in self._faults.values()]

    def load(self, faults: object) -> None:
        """Takes back what `list` gave before a restart."""
        for row in faults if isinstance(faults, list) else []:
            fault = Fault(**row)
            self._faults[fault.id] = fault
            self._serial = max(self._serial, int(fault.id[1:]))

    def take(
        self, kind: str, *, cloud: str, method: str = "*", path: str = "", name: str = "", account: str = ""
    ) -> Fault | None:
        """The fault of this kind that hits this request, if one does; counted as a hit."""
        if not self._faults:
            return None
        for fault in self._faults.values():
            if (
                fault.kind == kind
                and fault.count != 0
                and fault.cloud in ("*", cloud)
                and (method == "*" or fault.method in ("*", method))
                and fnmatchcase(path, fault.path)
                and fnmatchcase(name, fault.name)
                and fault.account in ("*", account)
            ):
                if fault.skip > 0:
                    fault.skip -= 1
                    continue
                if fault.probability < 1.0 and self._random.random() >= fault.probability:
                    continue
                fault.hits += 1
                if fault.count is not None:
                    fault.count -= 1
                self._changed()
                return fault
        return None
