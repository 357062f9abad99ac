"""Paperspace's API v1 in short, written from its published types: what may be sent and what is answered.

There is no description to keep beside the checkout, so this one stands in for it. It shares nothing with the
client or the emulator.
"""

from __future__ import annotations

import re
from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs installed

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
BYTES: Schema = {"type": "integer", "minimum": 0}
STAMP: Schema = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
STATES = ("off", "starting", "stopping", "restarting", "serviceready", "ready", "upgrading", "provisioning")
CODES = [
    "BAD_REQUEST",
    "UNAUTHORIZED",
    "FORBIDDEN",
    "NOT_FOUND",
    "METHOD_NOT_SUPPORTED",
    "TIMEOUT",
    "CONFLICT",
    "PRECONDITION_FAILED",
    "PAYLOAD_TOO_LARGE",
    "TOO_MANY_REQUESTS",
    "CLIENT_CLOSED_REQUEST",
    "INTERNAL_SERVER_ERROR",
]


def none_or(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def shape(
    required: dict[str, Schema], optional: dict[str, Schema] | None = None, *, open_: bool = False
) -> Schema:
    properties = {**required, **(optional or {})}
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": open_,
    }


def page(item: Schema) -> Schema:
    whole = shape({"hasMore": FLAG, "items": {"type": "array", "items": item}}, {"nextPage": TEXT})
    # Where there is more, the cursor has to be there.
    more = {"properties": {"hasMore": {"const": True}}}
    return {**whole, "if": more, "then": {"required": ["nextPage"]}}


REGION: Schema = {"type": "string", "pattern": "(?i)ny2|ca1|ams1"}
ADDRESS_TYPE: Schema = {"enum": ["static", "dynamic", "none"]}
DISK: Schema = {"type": "number", "minimum": 50}
FREQUENCY: Schema = {"enum": ["hourly", "daily", "weekly", "monthly"]}
MACHINE = shape(
    {
        "id": NAME,
        "name": NAME,
        "state": {"enum": list(STATES)},
        "os": TEXT,
        "machineType": NAME,
        "agentType": TEXT,
        "cpus": BYTES,
        "ram": BYTES,
        "storageTotal": BYTES,
        "storageUsed": BYTES,
        "accelerators": {"type": "array", "items": shape({"name": TEXT, "memory": BYTES, "count": BYTES})},
        "region": REGION,
        "privateIp": none_or(TEXT),
        "networkId": none_or(TEXT),
        "publicIp": none_or(TEXT),
        "publicIpType": ADDRESS_TYPE,
        "autoShutdownEnabled": FLAG,
        "autoShutdownTimeout": none_or(NUMBER),
        "autoShutdownForce": none_or(FLAG),
        "autoSnapshotEnabled": FLAG,
        "autoSnapshotFrequency": none_or(FREQUENCY),
        "autoSnapshotSaveCount": none_or(NUMBER),
        "updatesPending": FLAG,
        "restorePointEnabled": FLAG,
        "restorePointFrequency": none_or(TEXT),
        "restorePointSnapshotId": none_or(TEXT),
        "usageRate": NUMBER,
        "storageRate": NUMBER,
        "dtCreated": STAMP,
        "dtModified": STAMP,
        "dtDeleted": none_or(STAMP),
        "reservation": {"type": "null"},
    }
)
EVENT = shape(
    {
        "id": NAME,
        "name": NAME,
        "state": {"enum": ["new", "in progress", "done", "error", "cancelled"]},
        "machineId": NAME,
        "error": none_or(TEXT),
        "dtCreated": STAMP,
        "dtStarted": none_or(STAMP),
        "dtFinished": none_or(STAMP),
    }
)
MADE = shape({"data": MACHINE, "event": EVENT})
CHANGED = shape({"data": MACHINE}, {"event": EVENT})
SCRIPT = shape(
    {
        "id": NAME,
        "name": NAME,
        "description": none_or(TEXT),
        "isEnabled": FLAG,
        "isRunOnce": FLAG,
        "assignedMachineIds": {"type": "array", "items": NAME},
    },
    {"dtCreated": STAMP, "dtDeleted": none_or(STAMP)},
)
NETWORK = shape(
    {
        "id": NAME,
        "name": NAME,
        "region": REGION,
        "network": TEXT,
        "netmask": TEXT,
        "dtCreated": STAMP,
        "dtDeleted": none_or(STAMP),
    }
)
ADDRESS = shape({"ip": NAME, "region": REGION, "assignedMachineId": none_or(TEXT), "dtCreated": STAMP})
COPY = shape({"id": NAME, "name": NAME, "machineId": NAME, "dtCreated": STAMP})
TEMPLATE = shape(
    {
        "id": NAME,
        "name": NAME,
        "agentType": TEXT,
        "operatingSystemLabel": TEXT,
        "defaultSizeGb": NUMBER,
        "availableMachineTypes": {
            "type": "array",
            "items": shape({"machineTypeLabel": NAME, "isAvailable": FLAG}),
        },
        "dtCreated": STAMP,
    }
)
ENDED: Schema = {"anyOf": [shape({"id": NAME}), shape({"ip": NAME})]}
ERROR = shape(
    {"code": {"enum": CODES}, "message": TEXT},
    {"details": {}, "issues": {"type": "array", "items": shape({"message": TEXT}, open_=True)}},
)
OPTIONS: dict[str, Schema] = {
    "networkId": none_or(TEXT),
    "publicIpType": ADDRESS_TYPE,
    "autoShutdownEnabled": FLAG,
    "autoShutdownTimeout": NUMBER,
    "autoShutdownForce": FLAG,
    "autoSnapshotEnabled": FLAG,
    "autoSnapshotFrequency": FREQUENCY,
    "autoSnapshotSaveCount": NUMBER,
    "restorePointEnabled": FLAG,
    "restorePointFrequency": {"const": "shutdown"},
}
CREATE = shape(
    {"name": NAME, "machineType": NAME, "templateId": NAME, "diskSize": DISK, "region": REGION},
    {
        **OPTIONS,
        "startupScriptId": NAME,
        "startOnCreate": FLAG,
        "enableNvlink": FLAG,
        "accessorIds": {"type": "array", "items": TEXT},
        "emailPassword": FLAG,
        "takeInitialSnapshot": FLAG,
    },
)
UPDATE = shape({}, {**OPTIONS, "name": NAME, "machineType": NAME, "diskSize": DISK})
NOTHING = shape({})
MACHINE_ID = shape({"machineId": NAME})
SCRIPT_FIELDS: dict[str, Schema] = {"description": TEXT, "isRunOnce": FLAG, "isEnabled": FLAG}
NAMED = shape({"name": NAME})
COPY_OF = shape({"name": NAME, "machineId": NAME})

OPERATIONS: dict[str, tuple[Schema | None, Schema]] = {
    "GET /machines": (None, page(MACHINE)),
    "POST /machines": (CREATE, MADE),
    "GET /machines/{id}": (None, MACHINE),
    "PUT /machines/{id}": (UPDATE, CHANGED),
    "DELETE /machines/{id}": (None, MADE),
    "PATCH /machines/{id}/start": (NOTHING, MADE),
    "PATCH /machines/{id}/stop": (NOTHING, MADE),
    "PATCH /machines/{id}/restart": (NOTHING, MADE),
    "GET /machine-events": (None, page(EVENT)),
    "GET /machine-events/{id}": (None, EVENT),
    "GET /machine-availability": (None, shape({"available": FLAG})),
    "GET /os-templates": (None, page(TEMPLATE)),
    "GET /custom-templates": (None, page(COPY)),
    "POST /custom-templates": (COPY_OF, COPY),
    "GET /custom-templates/{id}": (None, COPY),
    "PUT /custom-templates/{id}": (NAMED, COPY),
    "DELETE /custom-templates/{id}": (None, ENDED),
    "GET /startup-scripts": (None, page(SCRIPT)),
    "POST /startup-scripts": (shape({"name": NAME, "script": NAME}, SCRIPT_FIELDS), SCRIPT),
    "GET /startup-scripts/{id}": (None, SCRIPT),
    "PUT /startup-scripts/{id}": (shape({}, {"name": NAME, "script": NAME, **SCRIPT_FIELDS}), SCRIPT),
    "DELETE /startup-scripts/{id}": (None, ENDED),
    "POST /startup-scripts/{id}/assign": (MACHINE_ID, SCRIPT),
    "POST /startup-scripts/{id}/unassign": (MACHINE_ID, SCRIPT),
    "GET /private-networks": (None, page(NETWORK)),
    "POST /private-networks": (shape({"name": NAME, "region": REGION}, {"migrateMachines": FLAG}), NETWORK),
    "GET /private-networks/{id}": (None, NETWORK),
    "PUT /private-networks/{id}": (NAMED, NETWORK),
    "DELETE /private-networks/{id}": (None, ENDED),
    "GET /public-ips": (None, page(ADDRESS)),
    "POST /public-ips": (shape({"region": REGION}), ADDRESS),
    "PUT /public-ips/{id}": (shape({"machineId": none_or(NAME)}), ADDRESS),
    "DELETE /public-ips/{id}": (None, ENDED),
    "GET /snapshots": (None, page(COPY)),
    "POST /snapshots": (COPY_OF, COPY),
    "GET /snapshots/{id}": (None, COPY),
    "PUT /snapshots/{id}": (NAMED, COPY),
    "DELETE /snapshots/{id}": (None, ENDED),
    "POST /snapshots/{id}/restore": (NOTHING, COPY),
    "GET /billing/account-standing": (None, {"type": "object"}),
    "GET /auth/session": (
        None,
        none_or(shape({"team": shape({"maxMachines": none_or(NUMBER)}, open_=True)}, open_=True)),
    ),
    "GET /health": (None, {}),
}
"""Every operation: what its body has to be (None: it has none), and what it answers with status 200."""

QUERIES: dict[str, Schema] = {
    "after": NAME,
    "limit": {"type": "string", "pattern": "^([1-9]|[1-9][0-9]|1[01][0-9]|120)$"},
    "orderBy": {"enum": ["dtCreated", "name"]},
    "order": {"enum": ["asc", "desc"]},
    "name": TEXT,
    "region": REGION,
    "agentType": TEXT,
    "machineType": NAME,
    "machineId": NAME,
}


def operation_of(method: str, path: str) -> str:
    """The operation of a request below the API's base."""
    for name in OPERATIONS:
        wanted, template = name.split(" ")
        if method == wanted and re.fullmatch(template.replace("{id}", "[^/]+"), path):
            return name
    raise AssertionError(f"there is no operation {method} {path}")


def complaints(schema: Schema, value: object) -> list[str]:
    """What is wrong with a value."""
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(value)
    ]


def answer_complaints(operation: str, status: int, value: object) -> list[str]:
    """What is wrong with an answer."""
    return complaints(OPERATIONS[operation][1] if status == 200 else ERROR, value)


def request_complaints(operation: str, query: dict[str, str], body: object) -> list[str]:
    """What is wrong with a request; `body` is None where it has none."""
    wrong = [f"no query parameter {name}" for name in query if name not in QUERIES]
    wrong += [line for name in query if name in QUERIES for line in complaints(QUERIES[name], query[name])]
    schema = OPERATIONS[operation][0]
    if schema is None:
        return [*wrong, "it has no body"] if body is not None else wrong
    if body is None:
        return wrong if schema == NOTHING else [*wrong, "it has a body"]
    return wrong + complaints(schema, body)
