"""Base of what nobody but us makes, once, and what is nowhere but in the state, encrypted."""

from __future__ import annotations

import secrets
from abc import abstractmethod
from typing import Any, ClassVar

from pulumi import dynamic

from dynamic_providers.base import Inputs, Provider, checked, inputs_in, own_props, parse
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind
from dynamic_providers.host.secrets import conceal

_REPLACE = {Kind.ADD: Kind.ADD_REPLACE, Kind.DELETE: Kind.DELETE_REPLACE, Kind.UPDATE: Kind.UPDATE_REPLACE}


class MadeOnce(Provider):
    """A secret that is made once; any change of its inputs is another one.

    Attributes:
        inputs: The model of its inputs.
        secret_outputs: Names of the outputs that are secret.
    """

    inputs: ClassVar[type[Inputs]]
    secret_outputs: ClassVar[frozenset[str]]

    @abstractmethod
    def make(self, props: dict[str, Any]) -> dict[str, Any]:
        """Makes it.

        Args:
            props: The inputs, as the engine has them.

        Returns:
            The outputs besides the inputs.
        """

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """The shape of its inputs."""
        parsed = parse(self.inputs, news)
        return checked(news, parsed.model, parsed.unknown, parsed.failures)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Any change is another one."""
        found = compare(inputs_in(self.inputs, olds), own_props(news))
        return DetailedDiff({path: _REPLACE[kind] for path, kind in found.items()})

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Makes it, and hides it from whatever is printed."""
        made = self.make(own_props(props))
        conceal([made[name] for name in self.secret_outputs])
        return dynamic.CreateResult(secrets.token_hex(8), {**own_props(props), **made})

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """What the state keeps: there is nothing else to ask."""
        if not self.secret_outputs <= props.keys():
            return dynamic.ReadResult("", {})
        return dynamic.ReadResult(id, own_props(props), inputs_in(self.inputs, props))

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Nothing to do: with the state it is gone."""
