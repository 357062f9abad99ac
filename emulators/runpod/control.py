"""RunPod's part of the control endpoints: `/_emu/runpod/…`."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from emulators.clock import SettingError
from emulators.runpod.pod import HOLDING, Pod
from emulators.runpod.settings import DEFAULT_KEY, AccountSettings

if TYPE_CHECKING:
    from emulators.runpod.cloud import RunPod

_POD_KEYS: dict[str, type] = {"reported_status": str, "unusable": bool, "locked": bool}


def control(cloud: RunPod, method: str, path: str, body: Any) -> Any:
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
        case "POST", ["pods", pod_id, "crash"]:
            return _crash(cloud, _pod(cloud, pod_id), _object(body))
        case "POST", ["pods", pod_id, "terminate"]:
            cloud.fleet.terminate(_pod(cloud, pod_id), reason="terminated by the cloud")
            return {"terminated": pod_id}
        case "POST", ["pods", pod_id, "reclaim"]:
            return _reclaim(cloud, _pod(cloud, pod_id), _object(body))
        case "PATCH", ["pods", pod_id]:
            pod, changes = _pod(cloud, pod_id), dict(_object(body))
            if "usd_per_hour" in changes:
                cloud.fleet.reprice(pod, _rate(changes.pop("usd_per_hour")))
            for key, value in changes.items():
                if not isinstance(value, _POD_KEYS.get(key, ())):
                    raise SettingError(f"a pod's {key!r} can not be set to {value!r}")
                setattr(pod, key, value)
            cloud.fleet.touch(pod)
            return summary(pod)
        case _:
            return None


def summary(pod: Pod) -> dict[str, Any]:
    """A pod for state dumps: no environment, which may hold secrets."""
    return {
        "id": pod.id,
        "account": pod.account,
        "name": pod.name,
        "phase": pod.phase,
        "gpu": pod.gpu_id,
        "gpu_count": pod.gpu_count,
        "cloud": pod.cloud,
        "data_center": pod.data_center,
        "usd_per_hour": pod.rate,
        "created_at": pod.created_at,
        "boots": pod.boots,
        "interruptible": pod.interruptible,
    }


def _crash(cloud: RunPod, pod: Pod, body: dict[str, Any]) -> dict[str, Any]:
    phase = body.get("phase", "EXITED")
    if phase not in ("EXITED", "ERROR"):
        raise SettingError("a crashed pod is EXITED or in ERROR")
    if pod.phase not in HOLDING:
        raise SettingError(f"pod {pod.id} does not run")
    cloud.fleet.stop(pod, phase=phase, reason="container crashed")
    return summary(pod)


def _reclaim(cloud: RunPod, pod: Pod, body: dict[str, Any]) -> dict[str, Any]:
    if not pod.interruptible:
        raise SettingError(f"pod {pod.id} is not interruptible")
    if pod.phase not in HOLDING:
        raise SettingError(f"pod {pod.id} does not run")
    gone = body.get("gone", cloud.settings()["spot_reclaim_gone"])
    if not isinstance(gone, bool):
        raise SettingError("gone is true or false")
    cloud.fleet.reclaim(pod, gone=gone)
    return summary(pod)


def _change_account(cloud: RunPod, changes: dict[str, Any]) -> dict[str, Any]:
    """Changes the account of one key, or adds one."""
    key = changes.pop("key", DEFAULT_KEY)
    keys: dict[str, Any] = cloud.settings()["keys"]
    before = AccountSettings(**keys[key]) if key in keys else AccountSettings("another")
    try:
        after = asdict(replace(before, **changes))
    except TypeError:
        raise SettingError("an account has account, auth, balance and spend_limit") from None
    cloud.change_settings({"keys": {**keys, key: after}})
    return after


def _pod(cloud: RunPod, pod_id: str) -> Pod:
    pod = cloud.fleet.any(pod_id)
    if pod is None or pod.phase == "TERMINATED":
        raise SettingError(f"there is no pod {pod_id!r}")
    return pod


def _rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise SettingError(f"a pod's 'usd_per_hour' can not be set to {value!r}")
    return float(value)


def _object(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise SettingError("the body is not an object")
    return body
