"""The JSON of SkyPilot's API (server 0.14.1), as far as it is used.

Tolerant on purpose: unknown fields are ignored, missing and null ones get a default, unknown words stay
words. Pickles (`handle`, `resources`, `entrypoint`, …), SSH keys and the text of tasks are not read at all,
so that no secret of a task can get into a log or a state.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from enum import StrEnum, unique
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gpu_clouds.tolerant import Items, OptionalFloat, OptionalInt, Text


def _flag(value: Any) -> bool:
    return value is True


def _number(value: Any) -> Any:
    # The server writes NaN for a price that it does not know.
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(name): str(text) for name, text in value.items() if text is not None}


def _accelerators(value: Any) -> dict[str, float]:
    """SkyPilot writes a Python dictionary as text: `{'A100': 2}`."""
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    if not isinstance(value, dict):
        return {}
    return {str(name): float(count) for name, count in value.items() if isinstance(count, int | float)}


def _spans(value: Any) -> list[tuple[float, float | None]]:
    """Spans of time; one that goes on still has no end. What is none is left out."""
    found = []
    for each in value if isinstance(value, list) else ():
        match each:
            case [int() | float() as first, int() | float() | None as until] if math.isfinite(first):
                found.append((float(first), None if until is None else float(until)))
    return found


Flag = Annotated[bool, BeforeValidator(_flag)]
Amount = Annotated[OptionalFloat, BeforeValidator(_number)]
Labels = Annotated[dict[str, str], BeforeValidator(_labels)]
Accelerators = Annotated[dict[str, float], BeforeValidator(_accelerators)]
Spans = Annotated[list[tuple[float, float | None]], BeforeValidator(_spans)]


class Model(BaseModel):
    """Base of all: immutable; input never stands in an error."""

    # Built when first used: takes 10 ms off the start of a provider (measured).
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True, defer_build=True)


@unique
class Refresh(StrEnum):
    """How `status` learns what it says. Only FORCE asks the cloud: the others report dead clusters as UP."""

    NONE = "NONE"
    AUTO = "AUTO"
    FORCE = "FORCE"


@unique
class RequestStatus(StrEnum):
    """Where a request is."""

    PENDING = "PENDING"
    WAITING = "WAITING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self in (RequestStatus.SUCCEEDED, RequestStatus.FAILED, RequestStatus.CANCELLED)


def _request_status(value: Any) -> RequestStatus:
    return RequestStatus(value) if value in RequestStatus.__members__ else RequestStatus.UNKNOWN


class HealthUser(Model):
    """Who the server takes the caller for."""

    id: Text = ""
    name: Text = ""


class ServerHealth(Model):
    """What `/api/health` says.

    Attributes:
        status: `healthy`, `needs_auth` or `version_mismatch`.
    """

    status: Text = ""
    api_version: Text = ""
    version: Text = ""
    commit: Text = ""
    basic_auth_enabled: Flag = False
    service_account_token_enabled: Flag = False
    ingress_basic_auth_enabled: Flag = False
    external_proxy_auth_enabled: Flag = False
    user: HealthUser | None = None


class RequestRecord(Model):
    """A request as `/api/status` lists it. Its body is not read: it has the task's secrets in it."""

    request_id: Text
    name: Text = ""
    status: Annotated[RequestStatus, BeforeValidator(_request_status)] = RequestStatus.UNKNOWN
    created_at: OptionalFloat = None
    finished_at: OptionalFloat = None
    user_id: Text = ""
    user_name: Text = ""
    cluster_name: Text = ""
    status_msg: Text = ""
    should_retry: Flag = False
    schedule_type: Text = ""


class ClusterRecord(Model):
    """A cluster as `/status` lists it.

    Attributes:
        status: `INIT`, `UP`, `STOPPED`, `AUTOSTOPPING` or `PENDING`.
        init_kind: Of an INIT one: `launching` or `unhealthy`.
        init_status_reason: Why it is INIT.
        autostop: Idle minutes until it is stopped; -1 for never.
        to_down: The idle stop takes it down.
        cluster_hash: Another hash under the same name: somebody made it anew.
        launched_at: Seconds since the epoch.
        accelerators: Name -> number in each node.
        labels: As the task gave them.
        cluster_name_on_cloud: Its name there.
        last_event: Text about its last change; not to be trusted after a failed stop.
    """

    name: Text
    status: Text = ""
    init_kind: Text = ""
    init_status_reason: Text = ""
    last_event: Text = ""
    launched_at: OptionalFloat = None
    status_updated_at: OptionalFloat = None
    autostop: OptionalInt = None
    to_down: Flag = False
    cluster_hash: Text = ""
    cluster_ever_up: Flag = False
    config_hash: Text = ""
    is_managed: Flag = False
    user_hash: Text = ""
    user_name: Text = ""
    workspace: Text = ""
    nodes: OptionalInt = None
    cloud: Text = ""
    region: Text = ""
    cpus: Text = ""
    memory: Text = ""
    accelerators: Accelerators = Field(default_factory=dict)
    labels: Labels = Field(default_factory=dict)
    resources_str: Text = ""
    cluster_name_on_cloud: Text = ""
    node_names: Text = ""
    links: Labels = Field(default_factory=dict)


class LaunchResult(Model):
    """What launch and exec give; no job without `run` in the task."""

    job_id: OptionalInt = None


class JobRecord(Model):
    """A job of a cluster.

    Attributes:
        status: `INIT`, `PENDING`, `SETTING_UP`, `RUNNING`, `SUCCEEDED`, `FAILED`, `FAILED_SETUP`,
            `FAILED_DRIVER`, `CANCELLED`, …
        submitted_at: Seconds since the epoch; so are the other times.
    """

    job_id: OptionalInt = None
    job_name: Text = ""
    username: Text = ""
    user_hash: Text = ""
    submitted_at: OptionalFloat = None
    start_at: OptionalFloat = None
    end_at: OptionalFloat = None
    resources: Text = ""
    status: Text = ""
    log_path: Text = ""


class ClusterEvent(Model):
    """A step of a cluster's life; time in seconds since the epoch."""

    reason: Text = ""
    transitioned_at: OptionalFloat = None


class CostRow(Model):
    """What a cluster, living or dead, has cost.

    Attributes:
        status: As of a living cluster; empty for a dead one.
        duration: Seconds that it ran.
        total_cost: USD; None where the server can not say.
        usage_intervals: When it ran, from and until, seconds since the epoch; without an end while it runs.
    """

    name: Text = ""
    status: Text = ""
    cluster_hash: Text = ""
    user_hash: Text = ""
    user_name: Text = ""
    workspace: Text = ""
    launched_at: OptionalFloat = None
    duration: Amount = None
    num_nodes: OptionalInt = None
    total_cost: Amount = None
    usage_intervals: Spans = Field(default_factory=list)
    cloud: Text = ""
    region: Text = ""
    resources_str: Text = ""
    last_event: Text = ""


class AcceleratorOffer(Model):
    """A line of the catalogue: one instance type with one number of accelerators.

    Attributes:
        cloud: `Slurm`, `AWS`, …
        accelerator_count: In one instance.
        device_memory_gb: Of one accelerator, GB.
        memory_gb: Of the instance, GB.
        price: On demand, USD per hour for one instance; None where it is not known.
        spot_price: The same for spot.
    """

    cloud: Text
    instance_type: Text = ""
    accelerator_name: Text
    accelerator_count: OptionalFloat = None
    cpu_count: OptionalFloat = None
    device_memory_gb: OptionalFloat = None
    memory_gb: OptionalFloat = None
    price: Amount = None
    spot_price: Amount = None
    region: Text = ""


class ServiceAccountToken(Model):
    """A token as the list shows it: without its value.

    Attributes:
        created_at: Seconds since the epoch; so are the other times.
        expires_at: None for never.
    """

    token_id: Text
    token_name: Text = ""
    created_at: OptionalFloat = None
    last_used_at: OptionalFloat = None
    expires_at: OptionalFloat = None
    creator_user_hash: Text = ""
    creator_name: Text = ""
    service_account_user_id: Text = ""
    service_account_name: Text = ""
    service_account_roles: Items[Text] = Field(default_factory=list)


class NewToken(Model):
    """A token that was just made or rotated: the only time that its value is shown.

    Attributes:
        token: The value, `sky_…`; a secret.
    """

    token_id: Text
    token: Text = Field(repr=False)
    token_name: Text = ""
    expires_at: OptionalFloat = None
    service_account_user_id: Text = ""


class User(Model):
    """A user of the server."""

    id: Text = ""
    name: Text = ""
    created_at: OptionalFloat = None
    role: Text = ""
    user_type: Text = ""


Workspaces = Mapping[str, Mapping[str, Any]]
"""Name -> configuration: `private`, `allowed_users`, and what is switched off for each cloud."""
