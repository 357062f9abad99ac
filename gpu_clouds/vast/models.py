"""The JSON of the cloud's API, as far as it is used.

Tolerant on purpose: unknown fields are ignored, unknown words stay words. What a node runs with (`extra_env`,
`onstart`, `args`) is not read at all, so that no secret can get into a log or a state.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gpu_clouds.tolerant import Items, Optional, OptionalFloat, OptionalInt, Text


class Model(BaseModel):
    """Base of all: immutable, and without a complaint about what is new."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Binding(Model):
    """Where a port of the container is reached."""

    host_port: Text = Field("", alias="HostPort")


class Machine(Model):
    """An instance; `ports` is keyed like `8000/tcp`."""

    id: int
    label: Text = ""
    actual_status: Text = ""
    cur_state: Text = ""
    status_msg: Text = ""
    gpu_name: Text = ""
    num_gpus: OptionalInt = None
    dph_total: OptionalFloat = None
    geolocation: Text = ""
    public_ipaddr: Text = ""
    ports: Optional[dict[str, Items[Binding]]] = None
    ssh_host: Text = ""
    ssh_port: OptionalInt = None
    image_uuid: Text = ""
    start_date: OptionalFloat = None


class Ask(Model):
    """An offer; prices are USD per hour for all its GPUs."""

    id: int
    gpu_name: Text = ""
    num_gpus: OptionalInt = None
    dph_total: OptionalFloat = None
    min_bid: OptionalFloat = None
    geolocation: Text = ""


class User(Model):
    """The account."""

    credit: OptionalFloat = None
