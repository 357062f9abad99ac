"""What is known of EC2 instance types."""

from __future__ import annotations

import functools
import importlib.util
import re
from pathlib import Path

#: Network cards that can be EFA, by type. Source: describe-instance-types in moto 5.2.5 (Apache-2.0),
#: 2026-10. A type with one card is in it only when that card can be EFA.
EFA_CARDS = {
    "g5.8xlarge": 1, "g5.12xlarge": 1, "g5.16xlarge": 1, "g5.24xlarge": 1, "g5.48xlarge": 1,
    "g6.8xlarge": 1, "g6.12xlarge": 1, "g6.16xlarge": 1, "g6.24xlarge": 1, "g6.48xlarge": 1,
    "g6e.8xlarge": 1, "g6e.12xlarge": 1, "g6e.16xlarge": 1, "g6e.24xlarge": 2, "g6e.48xlarge": 4,
    "g7.8xlarge": 1, "g7.12xlarge": 1, "g7.24xlarge": 1, "g7.48xlarge": 2,
    "g7e.8xlarge": 1, "g7e.12xlarge": 1, "g7e.24xlarge": 2, "g7e.48xlarge": 4,
    "p4d.24xlarge": 4, "p4de.24xlarge": 4, "p5.4xlarge": 1, "p5.48xlarge": 32, "p5e.48xlarge": 32,
    "p5en.48xlarge": 16, "p6-b200.48xlarge": 8, "p6-b300.48xlarge": 16,
}  # fmt: skip

#: Families that capacity blocks are sold for. Source: as above, supported usage class `capacity-block`.
BLOCK_FAMILIES = ("p4d", "p4de", "p5", "p5e", "p5en", "p6-b200", "p6-b300", "p6e-gb200", "trn1", "trn2")

#: NVIDIA GPUs are in these families.
_NVIDIA = re.compile(r"(p\d|g[3-9]|gr\d)")
_ARM = re.compile(r"([a-z]+\d+g[a-z]*|a1|p6e-gb\d+)")
_MEMBER = re.compile(r"^    [A-Z0-9_]+ = \"([^\"]+)\"", re.MULTILINE)


def family(instance_type: str) -> str:
    """`p5` of `p5.48xlarge`."""
    return instance_type.partition(".")[0]


def has_nvidia(instance_type: str) -> bool:
    """Whether machines of this type have NVIDIA GPUs."""
    return _NVIDIA.match(family(instance_type)) is not None


def is_arm(instance_type: str) -> bool:
    """Whether machines of this type have Arm processors."""
    return _ARM.fullmatch(family(instance_type)) is not None


@functools.cache
def known_types() -> frozenset[str]:
    """The instance types that the SDK lists in its enum; empty when the SDK isn't there.

    Read from the file's text: importing `pulumi_aws.ec2` for it takes half a second.
    """
    spec = importlib.util.find_spec("pulumi_aws")
    if spec is None or spec.origin is None:
        return frozenset()
    text = (Path(spec.origin).parent / "ec2" / "_enums.py").read_text(encoding="utf-8")
    _, _, rest = text.partition("class InstanceType(")
    return frozenset(_MEMBER.findall(rest.partition("\nclass ")[0]))
