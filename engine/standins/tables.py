"""The tables of one cloud: what its types are called, refer to, answer, and which changes replace them.

- types.json: token -> how it is named and identified, and what the cloud adds (`Kind`).
- references.json: token -> property -> [token of the other, the outputs of it that may be meant].
- replacement.json: token -> the properties whose change makes a new object.
- immutable.json: token -> the properties that the cloud refuses to change, though nothing replaces for them.
- enums.json: token -> property -> the values that the cloud takes, where the SDK has a plain string.

Each file says where it is from under `_source`. Templates are texts with `{property}` and what `filling`
knows.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.standins.values import Values


@dataclass(frozen=True)
class Kind:
    """One type.

    Attributes:
        name: the property that holds its name; empty: it has none that must be unique.
        scope: the properties within which the name is unique.
        auto: a missing name is made up from the program's name for the resource.
        most: characters that a made-up name may have.
        plain_name: a made-up name has letters and digits only.
        id: a template; empty: the name, or something random where there is none.
        outputs: templates of what the cloud adds, by property.
        changing: outputs that every update changes.
    """

    name: str = ""
    scope: tuple[str, ...] = ()
    auto: bool = True
    most: int = 63
    plain_name: bool = False
    id: str = ""
    outputs: Values = field(default_factory=dict)
    changing: tuple[str, ...] = ()


class Tables:
    """The tables in a folder.

    Args:
        folder: with the files; one that isn't there is an empty table.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _load(self, name: str) -> dict[str, Any]:
        file = self._folder / name
        document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return {key: value for key, value in document.items() if not key.startswith("_")}

    @functools.cached_property
    def kinds(self) -> dict[str, Kind]:
        """Token -> names and outputs."""
        found = {}
        for token, entry in self._load("types.json").items():
            lists = {key: tuple(entry[key]) for key in ("scope", "changing") if key in entry}
            found[token] = Kind(**{**entry, **lists})
        return found

    @functools.cached_property
    def references(self) -> dict[str, dict[str, tuple[str, list[str]]]]:
        """Token -> property -> (type of the other, its outputs that may be meant)."""
        return {
            token: {path: (other, keys) for path, (other, keys) in entry.items()}
            for token, entry in self._load("references.json").items()
        }

    @functools.cached_property
    def replacement(self) -> dict[str, list[str]]:
        """Token -> properties that can't be changed in place."""
        return self._load("replacement.json")

    @functools.cached_property
    def immutable(self) -> dict[str, list[str]]:
        """Token -> properties that the cloud refuses to change, and that the plugin doesn't replace for."""
        return self._load("immutable.json")

    @functools.cached_property
    def enums(self) -> dict[str, dict[str, list[str]]]:
        """Token -> property -> values."""
        return self._load("enums.json")
