"""The request bodies that the API takes."""

from __future__ import annotations

from typing import Any

from emulators.paperspace.catalogue import DISK_SIZES
from emulators.schema import Check, Shape, boolean, integer, kind_of, one_of, text


def _disk(value: Any, at: str) -> list[str]:
    if kind_of(value) != "integer" or value not in DISK_SIZES:
        return [f"{at}: expected one of {', '.join(map(str, DISK_SIZES))}"]
    return []


def _number(value: Any, at: str) -> list[str]:
    return [] if kind_of(value) in ("integer", "number") else [f"{at}: expected number"]


def _texts(value: Any, at: str) -> list[str]:
    good = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return [] if good else [f"{at}: expected array of strings"]


_COMMON: dict[str, Check] = {
    "publicIpType": one_of("static", "dynamic", "none"),
    "autoShutdownEnabled": boolean(),
    "autoShutdownTimeout": _number,
    "autoShutdownForce": boolean(),
    "autoSnapshotEnabled": boolean(),
    "autoSnapshotFrequency": one_of("hourly", "daily", "weekly", "monthly"),
    "autoSnapshotSaveCount": integer(1),
    "restorePointEnabled": boolean(),
    "restorePointFrequency": one_of("shutdown"),
}

CREATE_MACHINE = Shape(
    {
        **_COMMON,
        "name": text(least=1),
        "machineType": text(least=1),
        "templateId": text(least=1),
        "diskSize": _disk,
        "region": text(least=1),
        "networkId": text(),
        "startupScriptId": text(),
        "startOnCreate": boolean(),
        "enableNvlink": boolean(),
        "accessorIds": _texts,
        "emailPassword": boolean(),
        "takeInitialSnapshot": boolean(),
    },
    required=("name", "machineType", "templateId", "diskSize", "region"),
)
UPDATE_MACHINE = Shape(
    {
        **_COMMON,
        "name": text(least=1),
        "machineType": text(least=1),
        "diskSize": _disk,
        "networkId": text(nullable=True),
    }
)
SCRIPT = Shape(
    {
        "name": text(least=1),
        "script": text(least=1),
        "description": text(),
        "isRunOnce": boolean(),
        "isEnabled": boolean(),
    },
    required=("name", "script"),
)
SCRIPT_UPDATE = Shape(SCRIPT.properties)
MACHINE_ID = Shape({"machineId": text(least=1)}, required=("machineId",))
NETWORK = Shape(
    {"name": text(least=1), "region": text(least=1), "migrateMachines": boolean()},
    required=("name", "region"),
)
NAME = Shape({"name": text(least=1)}, required=("name",))
CLAIM = Shape({"region": text(least=1)}, required=("region",))
ASSIGN = Shape({"machineId": text(least=1, nullable=True)}, required=("machineId",))
NAMED_COPY = Shape({"name": text(least=1), "machineId": text(least=1)}, required=("name", "machineId"))
NOTHING = Shape({})
