"""The JSON of Paperspace's API v1, as far as it is used.

Tolerant on purpose: unknown fields are ignored, missing and null ones get a default, unknown words stay
words. A startup script's text is not read at all: it holds the node's environment.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gpu_clouds.tolerant import Items, Optional, OptionalFloat, OptionalInt, OptionalTime, Text


class Model(BaseModel):
    """Base of all: camelCase names, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )


class Accelerator(Model):
    """GPUs of one kind in a machine; memory in bytes."""

    name: Text = ""
    count: OptionalInt = None


class Machine(Model):
    """A machine; `usage_rate` is USD per hour."""

    id: Text
    name: Text = ""
    state: Text = ""
    machine_type: Text = ""
    accelerators: Items[Optional[Accelerator]] = Field(default_factory=list)
    region: Text = ""
    public_ip: Text = ""
    public_ip_type: Text = ""
    storage_total: OptionalInt = None
    usage_rate: OptionalFloat = None
    dt_created: OptionalTime = None
    # Only whether it is there counts, in whatever form.
    dt_deleted: Text = ""


class Event(Model):
    """Something that is being done to a machine: new, in progress, then done, error or cancelled."""

    id: Text = ""
    name: Text = ""
    state: Text = ""
    machine_id: Text = ""
    error: Text = ""
    dt_created: OptionalTime = None


class Made(Model):
    """The answer to whatever starts asynchronous work on a machine."""

    data: Machine
    event: Optional[Event] = None


class StartupScript(Model):
    """A script that machines run at boot."""

    id: Text
    name: Text = ""
    assigned_machine_ids: Items[Text] = Field(default_factory=list)


class PublicIp(Model):
    """A static address."""

    ip: Text
    assigned_machine_id: Text = ""


class Snapshot(Model):
    """A copy of a machine's disk."""

    id: Text
    machine_id: Text = ""


class TemplateType(Model):
    """A machine type that a template can be used with."""

    machine_type_label: Text = ""
    is_available: Optional[bool] = None


class OsTemplate(Model):
    """An image of an operating system."""

    id: Text
    name: Text = ""
    agent_type: Text = ""
    operating_system_label: Text = ""
    available_machine_types: Items[Optional[TemplateType]] = Field(default_factory=list)

    @property
    def machine_types(self) -> list[TemplateType]:
        """The machine types that it can be used with, as far as they can be read."""
        return [one for one in self.available_machine_types if one is not None]


class Team(Model):
    """The team that a key belongs to."""

    max_machines: OptionalInt = None


class Session(Model):
    """Who is calling."""

    team: Optional[Team] = None
