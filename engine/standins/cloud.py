"""What makes the one plugin a stand-in for a certain cloud: tables, rules and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.standins.checking import Finding
from engine.standins.store import Store
from engine.standins.tables import Tables
from engine.standins.values import Values

Settings = dict[str, str]

#: A rule of a cloud: (plain inputs) -> what is wrong with them. Pure; unknown values break no rule.
Rule = Callable[[Values], Iterator[Finding]]


class NoAnswer(Exception):
    """A function that can't be answered without a cloud. The message is one line."""


@dataclass(frozen=True)
class Asked:
    """One call of a function.

    Attributes:
        arguments: plain values.
        settings: of the provider.
        store: what is pretended to be there; None in a preview that pretends nothing.
    """

    arguments: Values
    settings: Settings
    store: Store | None

    def text(self, name: str) -> str:
        """An argument that has to be there.

        Raises:
            NoAnswer: it is missing.
        """
        value = self.arguments.get(name)
        if not isinstance(value, str):
            raise NoAnswer(f"{name} is required and missing")
        return value


Function = Callable[[Asked], Values]


@dataclass(frozen=True)
class Cloud:
    """One cloud.

    Attributes:
        package: the plugin's name.
        title: the cloud's name in messages.
        folder: of its tables.
        settings: (the provider's configuration) -> what ids and answers are made with.
        rules: token -> rules of its inputs.
        functions: token -> answer.
    """

    package: str
    title: str
    folder: Path
    settings: Callable[[Values], Settings]
    rules: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)

    @property
    def tables(self) -> Tables:
        """Its tables."""
        return Tables(self.folder)

    @property
    def plugin(self) -> str:
        """The file name of the official plugin."""
        return f"pulumi-resource-{self.package}"

    @property
    def announcement(self) -> str:
        """The line that every run prints."""
        return (
            f"stand-in for {self.plugin}: inputs are checked, no cloud is asked; "
            f"this is no proof that {self.title} accepts them"
        )


def text(values: Mapping[str, Any], name: str, default: str = "") -> str:
    """A string among values, or the default."""
    value = values.get(name)
    return value if isinstance(value, str) and value else default
