"""The JSON of RunPod's REST API v2, as far as it is used.

Tolerant on purpose: unknown fields are ignored, missing and null ones get a default, unknown words stay
words. A pod's environment is not read at all, so that no secret of a node can get into a log or a state.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, WrapValidator
from pydantic.alias_generators import to_camel

from gpu_clouds.tolerant import Items, Optional, OptionalFloat, OptionalInt, OptionalTime, Text, or_none


class Model(BaseModel):
    """Base of all: camelCase names, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


class Gpu(Model):
    """The GPUs of a pod."""

    id: Text = ""
    count: OptionalInt = None


class RuntimePort(Model):
    """A port as it is reached from outside; new at each start."""

    private: OptionalInt = None
    public: OptionalInt = None
    type: Text = ""
    ip: Text = ""


class Runtime(Model):
    """What runs in the pod; an empty object means: nothing yet."""

    uptime: OptionalInt = None
    ports: Items[RuntimePort] = Field(default_factory=list)


class SshEndpoint(Model):
    """One way to log in."""

    host: Text = ""
    port: OptionalInt = None
    username: Text = ""


class Ssh(Model):
    """Ways to log in, through RunPod's proxy or directly."""

    proxy: Optional[SshEndpoint] = None
    direct: Optional[SshEndpoint] = None


class Pod(Model):
    """A pod."""

    id: Text
    name: Text = ""
    status: Text = ""
    image: Text = ""
    disk: OptionalInt = None
    ports: Items[Text] = Field(default_factory=list)
    gpu: Optional[Gpu] = None
    data_center_id: Text = ""
    ssh: Optional[Ssh] = None
    cost: OptionalFloat = None
    locked: Optional[bool] = None
    runtime: Optional[Runtime] = None
    created_at: OptionalTime = None


class DataCenterAvailability(Model):
    """How free one GPU type is in one data centre."""

    id: Text
    availability: Text = ""


class PerCloud(Model):
    """A number for RunPod's own machines and one for those of others."""

    secure: OptionalFloat = None
    community: OptionalFloat = None


class GpuType(Model):
    """A line of the catalogue; prices are USD per GPU-hour."""

    id: Text
    name: Text = ""
    memory: OptionalInt = None
    secure: Optional[bool] = None
    community: Optional[bool] = None
    price: Optional[PerCloud] = None
    max_count: Optional[PerCloud] = None
    availability: Text = ""
    data_centers: Annotated[
        list[DataCenterAvailability] | None,
        WrapValidator(or_none),
    ] = None


class DataCenter(Model):
    """A data centre."""

    id: Text
    name: Text = ""
    region: Text = ""


class NetworkVolume(Model):
    """A disk that lives apart from pods; size in GB."""

    id: Text
    name: Text = ""
    size: OptionalInt = None
    data_center: Text = ""
    type: Text = ""


class Template(Model):
    """Saved settings of a container."""

    id: Text
    name: Text = ""
    image: Text = ""
    disk: OptionalInt = None
    ports: Items[Text] = Field(default_factory=list)
    serverless: Optional[bool] = None


class PodBilling(Model):
    """What one pod cost in one span of time, USD."""

    pod_id: Text = ""
    start_time: OptionalTime = None
    end_time: OptionalTime = None
    total_amount: OptionalFloat = None
    gpu_amount: OptionalFloat = None
    disk_amount: OptionalFloat = None
