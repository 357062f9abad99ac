"""Lambda's part of the control endpoints: `/_emu/lambda/…`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from emulators.clock import SettingError
from emulators.lambda_cloud.machine import Machine
from emulators.lambda_cloud.settings import DEFAULT_KEY, AccountSettings

if TYPE_CHECKING:
    from emulators.lambda_cloud.cloud import Lambda

_MACHINE_KEYS: dict[str, type] = {"reported_status": str, "unusable": bool}


def control(cloud: Lambda, method: str, path: str, body: Any) -> Any:
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
        case "POST", ["instances", instance_id, "preempt"]:
            cloud.fleet.preempt(_machine(cloud, instance_id))
            return {"preempted": instance_id}
        case "POST", ["instances", instance_id, "terminate"]:
            cloud.fleet.terminate(_machine(cloud, instance_id), reason="terminated by the cloud")
            return {"terminated": instance_id}
        case "POST", ["instances", instance_id, "unhealthy"]:
            machine = _machine(cloud, instance_id)
            machine.unhealthy_at = None if _object(body).get("healthy") is True else cloud.now()
            cloud.fleet.save(machine)
            return summary(machine, cloud.now())
        case "PATCH", ["instances", instance_id]:
            machine = _machine(cloud, instance_id)
            for key, value in _object(body).items():
                if not isinstance(value, _MACHINE_KEYS.get(key, ())):
                    raise SettingError(f"an instance's {key!r} can not be set to {value!r}")
                setattr(machine, key, value)
            cloud.fleet.save(machine)
            return summary(machine, cloud.now())
        case _:
            return None


def summary(machine: Machine, now: float) -> dict[str, Any]:
    """An instance for state dumps: no user data, which may hold secrets."""
    return {
        "id": machine.id,
        "account": machine.account,
        "name": machine.name,
        "status": machine.status(now),
        "type": machine.kind,
        "region": machine.region,
        "usd_per_hour": machine.cents / 100,
        "created_at": machine.created_at,
    }


def _change_account(cloud: Lambda, changes: dict[str, Any]) -> dict[str, Any]:
    """Changes the account of one key, or adds one."""
    key = changes.pop("key", DEFAULT_KEY)
    keys: dict[str, Any] = cloud.settings()["keys"]
    before = AccountSettings(**keys[key]) if key in keys else AccountSettings("another")
    try:
        after = asdict(replace(before, **changes))
    except TypeError:
        raise SettingError("an account has account, auth and quota") from None
    cloud.change_settings({"keys": {**keys, key: after}})
    return after


def _machine(cloud: Lambda, instance_id: str) -> Machine:
    machine = cloud.fleet.any(instance_id)
    if machine is None or not machine.living(cloud.now()):
        raise SettingError(f"there is no living instance {instance_id!r}")
    return machine


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise SettingError("the body is not an object")
    return body
