"""The JSON of Lambda's Cloud API v1, as far as it is used.

Tolerant on purpose: unknown fields are ignored, missing and null ones get a default, unknown words stay.
`jupyter_token` and `jupyter_url` come with every instance, in lists too, and open the machine to whoever has
them: no model here has a field for them, so they end where the answer is read.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gpu_clouds.tolerant import Items, Optional, OptionalInt, OptionalTime, Text


class Model(BaseModel):
    """Base of all: immutable, and without the input in its errors."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class Region(Model):
    """A region."""

    name: Text = ""
    description: Text = ""


class Specs(Model):
    """What a machine of a type has."""

    vcpus: OptionalInt = None
    memory_gib: OptionalInt = None
    storage_gib: OptionalInt = None
    gpus: OptionalInt = None


class InstanceType(Model):
    """A kind of machine; the price is for the whole of it, US cents per hour."""

    name: Text
    description: Text = ""
    gpu_description: Text = ""
    price_cents_per_hour: OptionalInt = None
    specs: Optional[Specs] = None


class InstanceTypeItem(Model):
    """A kind of machine and where some are free."""

    instance_type: InstanceType
    regions_with_capacity_available: Items[Region] = Field(default_factory=list)


class Tag(Model):
    """A tag."""

    key: Text = ""
    value: Text = ""


class Machine(Model):
    """An instance; name and addresses may be missing at first, and there is no time of creation."""

    id: Text
    name: Text = ""
    ip: Text = ""
    private_ip: Text = ""
    status: Text = ""
    ssh_key_names: Items[Text] = Field(default_factory=list)
    file_system_names: Items[Text] = Field(default_factory=list)
    region: Optional[Region] = None
    instance_type: Optional[InstanceType] = None
    hostname: Text = ""
    tags: Items[Tag] = Field(default_factory=list)


class Launched(Model):
    """What a launch answers: nothing but ids."""

    instance_ids: Items[Text] = Field(default_factory=list)


class SshKey(Model):
    """A registered public key."""

    id: Text
    name: Text = ""
    public_key: Text = ""


class FirewallRule(Model):
    """Who may reach which ports."""

    protocol: Text = ""
    port_range: Items[int] = Field(default_factory=list)
    source_network: Text = ""
    description: Text = ""


class FirewallRuleset(Model):
    """Rules for those instances of one region that name the set at their launch."""

    id: Text
    name: Text = ""
    region: Optional[Region] = None
    rules: Items[FirewallRule] = Field(default_factory=list)
    instance_ids: Items[Text] = Field(default_factory=list)


class FileSystem(Model):
    """A disk that lives apart from instances; used bytes where told."""

    id: Text
    name: Text = ""
    mount_point: Text = ""
    created: OptionalTime = None
    is_in_use: Optional[bool] = None
    region: Optional[Region] = None
    bytes_used: OptionalInt = None


class Image(Model):
    """An operating system image in one region."""

    id: Text
    name: Text = ""
    description: Text = ""
    family: Text = ""
    version: Text = ""
    architecture: Text = ""
    region: Optional[Region] = None
