"""The marker: the cloud-side name that says whose a node is and what it was made from.

`gp-<owner>-<stackId>-<node>-<spec8>`, at most 60 characters. Nobody touches a node of another owner, of
another stack, or without a marker.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from gpu_clouds.errors import ValidationError

DECLARED = "p"
"""Owner: declared in the Pulumi program."""
ORCHESTRATED = "o"
"""Owner: launched by the control plane's orchestrator."""

_STACK_ID = re.compile(r"[a-z0-9]{8}")
_NODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?")
_MARKER = re.compile(
    r"gp-(?P<owner>[po])-(?P<stack_id>[a-z0-9]{8})-(?P<node>[a-z0-9](?:[a-z0-9-]{0,22}[a-z0-9])?)-(?P<spec8>[0-9a-f]{8})"
)


@dataclass(frozen=True, slots=True)
class Marker:
    """One node's marker.

    Args:
        owner: `p` or `o`.
        stack_id: 8 lower-case letters or digits.
        node: The node's slug, at most 24 lower-case letters, digits and inner hyphens.
        spec8: 8 hexadecimal digits, from `spec_hash`.

    Raises:
        ValidationError: A part breaks its rule.
    """

    owner: str
    stack_id: str
    node: str
    spec8: str

    def __post_init__(self) -> None:
        if self.owner not in (DECLARED, ORCHESTRATED):
            raise ValidationError(f"marker owner is 'p' or 'o', not {self.owner!r}")
        if not _STACK_ID.fullmatch(self.stack_id):
            raise ValidationError(
                f"stackId {self.stack_id!r} is not 8 lower-case letters or digits; `gpuplane init` writes one"
            )
        if not _NODE.fullmatch(self.node):
            raise ValidationError(
                f"node name {self.node!r}: at most 24 lower-case letters, digits and inner hyphens"
            )
        if not re.fullmatch(r"[0-9a-f]{8}", self.spec8):
            raise ValidationError(f"spec hash {self.spec8!r} is not 8 hexadecimal digits")

    def __str__(self) -> str:
        return f"gp-{self.owner}-{self.stack_id}-{self.node}-{self.spec8}"

    @property
    def node_prefix(self) -> str:
        """What the names of this node start with, whatever it was made from."""
        return f"{stack_prefix(self.owner, self.stack_id)}{self.node}-"

    @classmethod
    def parse(cls, name: str) -> Marker | None:
        """The marker that a cloud-side name is; None where it is somebody else's name."""
        found = _MARKER.fullmatch(name)
        return cls(**found.groupdict()) if found else None


def stack_prefix(owner: str, stack_id: str) -> str:
    """What the names of all nodes of this owner and stack start with."""
    return f"gp-{owner}-{stack_id}-"


def spec_hash(spec: Mapping[str, object]) -> str:
    """8 hexadecimal digits of the inputs whose change means replace.

    Args:
        spec: Plain JSON values; the order of keys does not matter.
    """
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
