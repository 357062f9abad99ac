"""The request bodies of Lambda's Cloud API (description 1.10.0)."""

from __future__ import annotations

import ipaddress
from typing import Any

from emulators.schema import Check, Shape, array, integer, one_of, text

_LONGEST_USER_DATA = 1_000_000


def _short(most: int, *, least: int = 0, pattern: str = "") -> Check:
    """A string of at most so many characters."""
    inner = text(least=least, pattern=pattern)

    def check(value: Any, at: str) -> list[str]:
        lines = inner(value, at)
        if not lines and len(value) > most:
            lines = [f"{at}: maxLength: got {len(value)}, want {most}"]
        return lines

    return check


def _open(properties: dict[str, Check], required: tuple[str, ...] = ()) -> Check:
    """An object that may have further properties: Lambda's description forbids none in requests."""
    shape = Shape(properties, required)

    def check(value: Any, at: str) -> list[str]:
        known = {k: v for k, v in value.items() if k in properties} if isinstance(value, dict) else value
        return shape(known, at)

    return check


_PORTS = array(integer(1, 65535), 2)


def _port_range(value: Any, at: str) -> list[str]:
    lines = _PORTS(value, at)
    return lines if lines or len(value) == 2 else [f"{at}: minItems: got {len(value)}, want 2"]


RULE = _open(
    {
        "protocol": one_of("tcp", "udp", "icmp", "all"),
        "port_range": _port_range,
        "source_network": text(),
        "description": _short(128),
    },
    ("protocol", "source_network", "description"),
)
_ID = _open({"id": text()}, ("id",))
_TAG = _open(
    {"key": _short(55, pattern=r"^[a-z][a-z0-9-:]+$"), "value": _short(128)},
    ("key", "value"),
)
_MOUNT = _open(
    {
        "mount_point": _short(256, pattern=r"^(/home|/lambda/nfs|/data)[//a-zA-Z0-9-]*$"),
        "file_system_id": text(),
    },
    ("mount_point", "file_system_id"),
)


def _image(value: Any, at: str) -> list[str]:
    by_family = _open({"family": text()}, ("family",))
    return _ID(value, at) and by_family(value, at)


_LAUNCH = _open(
    {
        "region_name": text(),
        "instance_type_name": text(),
        "ssh_key_names": array(text()),
        "file_system_names": array(text()),
        "file_system_mounts": array(_MOUNT),
        "hostname": _short(63, least=1, pattern=r"^[a-z0-9][0-9a-z-]{0,62}$"),
        "name": _short(64),
        "image": _image,
        "user_data": text(),
        "tags": array(_TAG),
        "firewall_rulesets": array(_ID),
    },
    ("region_name", "instance_type_name", "ssh_key_names"),
)


def launch(value: Any) -> list[str]:
    """Complaints about a launch, by its schema."""
    return _LAUNCH(value, "$")


def launch_rules(body: dict[str, Any]) -> list[str]:
    """Rules of a launch that only its texts tell: one key, one instance, 1 MB of user data."""
    lines = []
    if len(body["ssh_key_names"]) != 1:
        lines.append("Exactly one SSH key must be specified.")
    if body.get("quantity", 1) != 1:
        lines.append("quantity must be 1.")
    if len(body.get("user_data", "").encode()) > _LONGEST_USER_DATA:
        lines.append("user_data cannot exceed 1MB in size.")
    return lines


def rule_problem(rule: dict[str, Any]) -> str:
    """What is wrong with a firewall rule beyond its schema; empty: nothing."""
    if ("port_range" in rule) == (rule["protocol"] == "icmp"):
        return "port_range is not allowed for icmp and required for other protocols."
    if "port_range" in rule and rule["port_range"][0] > rule["port_range"][1]:
        return "port_range must be [min, max]."
    try:
        ipaddress.IPv4Network(rule["source_network"])
    except ValueError:
        return "source_network must be an IPv4 network in CIDR notation."
    return ""


def _schema(check: Check) -> Any:
    def complaints(value: Any) -> list[str]:
        return check(value, "$")

    return complaints


INSTANCE_IDS = _schema(_open({"instance_ids": array(text())}, ("instance_ids",)))
RENAME = _schema(_open({"name": _short(64)}))
SSH_KEY = _schema(_open({"name": _short(64, least=1), "public_key": _short(4096, least=1)}, ("name",)))
RULES = _schema(_open({"data": array(RULE)}, ("data",)))
GLOBAL_RULES = _schema(_open({"rules": array(RULE)}))
RULESET = _schema(
    _open({"name": _short(64), "region": text(), "rules": array(RULE)}, ("name", "region", "rules"))
)
CHANGE_RULESET = _schema(_open({"name": _short(64), "rules": array(RULE)}))
FILE_SYSTEM = _schema(
    _open(
        {"name": _short(60, least=1, pattern=r"^[a-zA-Z]+[0-9a-zA-Z-]*$"), "region": text()},
        ("name", "region"),
    )
)
