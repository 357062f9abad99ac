"""SSH keys, firewall rules and rulesets, file systems."""

from __future__ import annotations

import hashlib
from typing import Any

from emulators.clock import rfc3339
from emulators.http import Answer, json_response
from emulators.lambda_cloud import bodies
from emulators.lambda_cloud.call import Call
from emulators.lambda_cloud.objects import Objects
from emulators.lambda_cloud.problems import Refusal, bad_address, invalid, not_found, unknown_path

KEYS = "ssh-keys"
RULESETS = "rulesets"
FILE_SYSTEMS = "file-systems"
ACCOUNT_RULES = "account-rules"
_GLOBAL = "global"
_DEFAULT_RULES = (
    {
        "protocol": "tcp",
        "port_range": [22, 22],
        "source_network": "0.0.0.0/0",
        "description": "Allow SSH from anywhere",
    },
    {"protocol": "icmp", "source_network": "0.0.0.0/0", "description": "Allow ping from anywhere"},
)
"""What an account has before anybody changes it: common knowledge, in no published text."""


# SSH keys


async def list_keys(call: Call) -> Answer:
    """GET /ssh-keys."""
    return json_response({"data": call.store.rows(KEYS, call.owner)})


async def add_key(call: Call) -> Answer:
    """POST /ssh-keys. Without a public key a pair is made, and its private half shown this once."""
    body = call.body(bodies.SSH_KEY)
    if any(row["name"] == body["name"] for row in call.store.rows(KEYS, call.owner)):
        raise invalid("An SSH key with this name already exists.")
    key_id = call.fleet.new_id()
    made = hashlib.sha256(key_id.encode()).hexdigest()
    public = body.get("public_key", f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{made[:43]} {body['name']}")
    row = {"id": key_id, "name": body["name"], "public_key": public}
    call.store.put(KEYS, call.owner, row)
    if "public_key" not in body:
        head, tail = "-----BEGIN OPENSSH PRIVATE KEY-----", "-----END OPENSSH PRIVATE KEY-----"
        row = {**row, "private_key": f"{head}\n{made}\n{tail}\n"}
    return json_response({"data": row})


async def delete_key(call: Call) -> Answer:
    """DELETE /ssh-keys/{id}. Instances that have it keep it."""
    if call.store.row(KEYS, call.owner, call.id) is None:
        raise unknown_path()
    call.store.drop(KEYS, call.owner, call.id)
    return json_response({"data": {}})


# Firewall


def account_rules(store: Objects, account: str) -> list[dict[str, Any]]:
    """The rules for all instances of an account."""
    row = store.row(ACCOUNT_RULES, account, _GLOBAL)
    return [dict(rule) for rule in _DEFAULT_RULES] if row is None else list(row["rules"])


async def get_rules(call: Call) -> Answer:
    """GET /firewall-rules."""
    return json_response({"data": account_rules(call.store, call.owner)})


async def put_rules(call: Call) -> Answer:
    """PUT /firewall-rules: replaces the whole list."""
    rules = _rules(call.body(bodies.RULES)["data"])
    call.store.put(ACCOUNT_RULES, call.owner, {"id": _GLOBAL, "rules": rules})
    return json_response({"data": rules})


async def get_global(call: Call) -> Answer:
    """GET /firewall-rulesets/global."""
    return json_response({"data": _global(account_rules(call.store, call.owner))})


async def change_global(call: Call) -> Answer:
    """PATCH /firewall-rulesets/global: replaces the whole list."""
    body = call.body(bodies.GLOBAL_RULES)
    rules = _rules(body["rules"]) if "rules" in body else account_rules(call.store, call.owner)
    call.store.put(ACCOUNT_RULES, call.owner, {"id": _GLOBAL, "rules": rules})
    return json_response({"data": _global(rules)})


async def list_rulesets(call: Call) -> Answer:
    """GET /firewall-rulesets."""
    return json_response({"data": [_ruleset(call, row) for row in call.store.rows(RULESETS, call.owner)]})


async def create_ruleset(call: Call) -> Answer:
    """POST /firewall-rulesets. Names are not unique."""
    body = call.body(bodies.RULESET)
    if body["region"] not in call.fleet.catalogue.regions:
        raise invalid("Specified region does not exist.")
    row = {
        "id": call.fleet.new_id(),
        "name": body["name"],
        "region": call.fleet.catalogue.region(body["region"]),
        "rules": _rules(body["rules"]),
        "created": rfc3339(call.now + call.settings.clock_skew_s),
    }
    call.store.put(RULESETS, call.owner, row)
    return json_response({"data": _ruleset(call, row)})


async def get_ruleset(call: Call) -> Answer:
    """GET /firewall-rulesets/{id}."""
    return json_response({"data": _ruleset(call, _ruleset_row(call))})


async def change_ruleset(call: Call) -> Answer:
    """PATCH /firewall-rulesets/{id}."""
    row = _ruleset_row(call)
    body = call.body(bodies.CHANGE_RULESET)
    row["name"] = body.get("name", row["name"])
    row["rules"] = _rules(body.get("rules", row["rules"]))
    call.store.put(RULESETS, call.owner, row)
    return json_response({"data": _ruleset(call, row)})


async def delete_ruleset(call: Call) -> Answer:
    """DELETE /firewall-rulesets/{id}."""
    row = _ruleset_row(call)
    if _ruleset(call, row)["instance_ids"]:
        raise Refusal(
            400,
            "firewall-rulesets/firewall-ruleset-in-use",
            "Firewall ruleset is in use by one or more instances.",
            "Terminate all instances that are using the ruleset before deleting it.",
        )
    call.store.drop(RULESETS, call.owner, row["id"])
    return json_response({"data": {}})


def _rules(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for rule in rules:
        if problem := bodies.rule_problem(rule):
            raise invalid(problem)
    names = ("protocol", "port_range", "source_network", "description")
    return [{name: rule[name] for name in names if name in rule} for rule in rules]


def _global(rules: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": _GLOBAL, "name": "Default Workspace Global Rules", "rules": rules}


def _ruleset(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    users = call.fleet.users_of(call.owner, lambda machine: machine.rulesets, row["id"])
    return {**row, "instance_ids": users}


def _ruleset_row(call: Call) -> dict[str, Any]:
    row = call.store.row(RULESETS, call.owner, call.id)
    if row is None:
        raise not_found(
            "Firewall ruleset does not exist or you do not have permission to access it.",
            suggestion="Check your firewall ruleset ID and try again.",
        )
    return row


# File systems


async def list_file_systems(call: Call) -> Answer:
    """GET /file-systems."""
    rows = call.store.rows(FILE_SYSTEMS, call.owner)
    return json_response({"data": [_file_system(call, row) for row in rows]})


async def create_file_system(call: Call) -> Answer:
    """POST /filesystems."""
    body = call.body(bodies.FILE_SYSTEM)
    if call.account.auth == "bad_address":
        raise bad_address()
    if body["region"] not in call.fleet.catalogue.regions:
        raise invalid("Specified region does not exist.")
    if any(row["name"] == body["name"] for row in call.store.rows(FILE_SYSTEMS, call.owner)):
        raise Refusal(400, "global/duplicate", "A file system with this name already exists.")
    row = {
        "id": call.fleet.new_id(),
        "name": body["name"],
        "mount_point": f"/lambda/nfs/{body['name']}",
        "created": rfc3339(call.now + call.settings.clock_skew_s),
        "created_by": {"id": "0" * 32, "email": f"{call.owner}@example.com", "status": "active"},
        "region": call.fleet.catalogue.region(body["region"]),
        "bytes_used": 0,
    }
    call.store.put(FILE_SYSTEMS, call.owner, row)
    return json_response({"data": _file_system(call, row)})


async def delete_file_system(call: Call) -> Answer:
    """DELETE /filesystems/{id}."""
    row = call.store.row(FILE_SYSTEMS, call.owner, call.id)
    if row is None:
        raise not_found("Filesystem was not found.")
    if _file_system(call, row)["is_in_use"]:
        raise Refusal(400, "filesystems/filesystem-in-use", "Filesystem is in use.")
    call.store.drop(FILE_SYSTEMS, call.owner, row["id"])
    return json_response({"data": {"deleted_ids": [row["id"]]}})


def _file_system(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    users = call.fleet.users_of(call.owner, lambda machine: machine.file_systems, row["name"])
    return {**row, "is_in_use": bool(users)}
