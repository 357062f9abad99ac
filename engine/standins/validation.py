"""All checks of one resource's inputs, in one place for the plugin and for tests without an engine."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from engine.standins import checking
from engine.standins.checking import Finding
from engine.standins.cloud import Cloud
from engine.standins.sdk_types import Sdk
from engine.standins.tables import Tables
from engine.standins.values import at, plain, redact


class Validator:
    """Checks inputs for one cloud.

    Args:
        cloud: whose rules hold.
        sdk: the SDK package, whose types hold.
    """

    def __init__(self, cloud: Cloud, sdk: Sdk) -> None:
        self._cloud, self._sdk = cloud, sdk

    @functools.cached_property
    def tables(self) -> Tables:
        """The cloud's tables."""
        return self._cloud.tables

    def findings(self, token: str, inputs: Mapping[str, Any]) -> list[Finding]:
        """What is wrong with the inputs of a resource; no message shows a secret.

        Args:
            token: its type.
            inputs: its inputs with their names on the wire; secrets may be wrapped.
        """
        if not self._sdk.has(token):
            where = f"{self._sdk.module} {self._sdk.version}"
            return [Finding("", f"there is no resource type {token} in {where}")]
        values = plain(inputs)
        found = list(checking.check(values, self._sdk.inputs(token)))
        # Rules read what types have been checked: a list in the place of a text is one finding, not two.
        if not found:
            found += self._enums(token, values)
            for rule in self._cloud.rules.get(token, ()):
                found += rule(values)
        return [Finding(each.path, redact(each.text, inputs)) for each in found]

    def _enums(self, token: str, values: Mapping[str, Any]) -> list[Finding]:
        takes = f"is none of the values that {self._cloud.title} takes"
        return [
            Finding(path, f"{value!r} {takes}: {', '.join(allowed)}")
            for pattern, allowed in self.tables.enums.get(token, {}).items()
            for path, value in at(values, pattern)
            if value not in allowed
        ]
