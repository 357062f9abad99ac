"""Paperspace's part of the control endpoints: `/_emu/paperspace/…`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from emulators.clock import SettingError
from emulators.paperspace.machine import Machine
from emulators.paperspace.settings import DEFAULT_KEY, AccountSettings

if TYPE_CHECKING:
    from emulators.paperspace.cloud import Paperspace

_MACHINE_KEYS: dict[str, type] = {"reported_state": str, "unusable": bool}


def control(cloud: Paperspace, method: str, path: str, body: Any) -> Any:
    """Answers one control request; None: there is no such thing.

    Raises:
        SettingError: The request makes no sense.
    """
    match method, path.split("/"):
        case "GET", ["capacity" | "prices" as table]:
            return cloud.settings()[table]
        case "PUT", ["capacity" | "prices" as table]:
            cloud.change_settings({table: {**cloud.settings()[table], **_object(body)}})
            return cloud.settings()[table]
        case "DELETE", ["capacity" | "prices" as table]:
            cloud.change_settings({table: {}})
            return {}
        case "PATCH", ["account"]:
            return _change_account(cloud, dict(_object(body)))
        case "POST", ["machines", machine_id, "delete"]:
            cloud.fleet.delete(_machine(cloud, machine_id))
            return {"deleting": machine_id}
        case "POST", ["machines", machine_id, "stop"]:
            cloud.fleet.stop(_machine(cloud, machine_id))
            return {"stopping": machine_id}
        case "PATCH", ["machines", machine_id]:
            machine = _machine(cloud, machine_id)
            for key, value in _object(body).items():
                if not isinstance(value, _MACHINE_KEYS.get(key, ())):
                    raise SettingError(f"a machine's {key!r} can not be set to {value!r}")
                setattr(machine, key, value)
            cloud.fleet.touch(machine)
            return summary(machine)
        case _:
            return None


def summary(machine: Machine) -> dict[str, Any]:
    """A machine for state dumps: no environment, which may hold secrets."""
    return {
        "id": machine.id,
        "account": machine.account,
        "name": machine.name,
        "state": machine.state,
        "machine_type": machine.machine_type,
        "region": machine.region,
        "usd_per_hour": machine.rate,
        "created_at": machine.created_at,
        "deleted_at": machine.deleted_at,
        "booted": machine.booted,
    }


def _change_account(cloud: Paperspace, changes: dict[str, Any]) -> dict[str, Any]:
    """Changes the team of one key, or adds one."""
    key = changes.pop("key", DEFAULT_KEY)
    keys: dict[str, Any] = cloud.settings()["keys"]
    before = AccountSettings(**keys[key]) if key in keys else AccountSettings("another")
    try:
        after = asdict(replace(before, **changes))
    except TypeError:
        raise SettingError("an account has account, auth, max_machines and good_standing") from None
    cloud.change_settings({"keys": {**keys, key: after}})
    return after


def _machine(cloud: Paperspace, machine_id: str) -> Machine:
    machine = cloud.fleet.any(machine_id)
    if machine is None or machine.deleted_at is not None:
        raise SettingError(f"there is no machine {machine_id!r}")
    return machine


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise SettingError("the body is not an object")
    return body
