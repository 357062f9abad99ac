"""The shape of the stack file: one pydantic model for each object in it.

Keys are camelCase in the file and snake_case here. Descriptions are the text of docs/configuration.md.
Rules that need more than one field are in rules.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, SecretStr

from stack_config.control_plane import ControlPlane
from stack_config.databases import PostgresServer, RedisServer
from stack_config.kubernetes_clusters import AksCluster, EksCluster, GkeCluster
from stack_config.model_servers import ModelServerSpec
from stack_config.policies import Policies
from stack_config.shape import Model, Usd
from stack_config.skypilot import SkyPilotCluster, SkyPilotServer, SkyPilotTenant

CLOUDS = ("runpod", "lambda", "paperspace", "vast", "skypilot")
"""Clouds that may be named; a test holds this equal to the clients that exist."""

EMULATOR = "emulator"
"""Endpoint of a credential set that means: the emulator of this checkout."""

CloudName = Literal["runpod", "lambda", "paperspace", "vast", "skypilot"]
CapacityName = Literal["on_demand", "spot", "reserved", "flex", "block"]
Order = Literal["listed", "price"]
FeatureName = Literal["graphql", "bare"]
FEATURES: dict[str, tuple[str, ...]] = {"runpod": ("graphql",), "skypilot": ("bare",)}
"""What a credential set of a cloud may switch on; a test holds this equal to the clients that exist."""


class SecretReference(Model):
    """A key of a Kubernetes secret, read when the provider is configured."""

    namespace: str = Field(default="default", min_length=1, description="Namespace of the secret.")
    name: str = Field(min_length=1, description="Name of the secret.")
    key: str = Field(min_length=1, description="Key inside the secret.")


class CredentialSource(Model):
    """One account of one cloud; its key is in one of `apiKey`, `apiKeyEnv`, `apiKeySecret`.

    For SkyPilot it is one API server: the key is a service-account token, with `user` that user's password,
    and a server without authentication has none.
    """

    cloud: CloudName = Field(description="Cloud that the account is of.")
    endpoint: str = Field(
        default="",
        description="Base URL of the API, instead of the cloud's own: https, or http on this machine; "
        "`emulator` for this checkout's emulator. SkyPilot: the address of the server, required.",
    )
    api_key: SecretStr | None = Field(default=None, description="The API key, as a secure value.")
    api_key_env: str = Field(
        default="", description="Name of the environment variable that holds the API key."
    )
    api_key_secret: SecretReference | None = Field(
        default=None, description="Kubernetes secret that holds the API key."
    )
    allowed_sources: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="Lambda: IPv4 networks (`203.0.113.0/24`) that may reach the ports of this stack's "
        "nodes; none: only whom the account's own rules let in. Other clouds have no firewall to open.",
    )
    features: tuple[FeatureName, ...] = Field(
        default=(),
        description="What is used besides the cloud's main API. RunPod: `graphql`, the old API, for spot "
        "nodes, the balance at preview, and an end by RunPod itself at `expiresAt`. SkyPilot: `bare`, where "
        "its machines run no containers (Slurm without Pyxis): the image of nodes is left out there.",
    )
    user: str = Field(
        default="", description="SkyPilot with basic authentication: the user whose password the key is."
    )
    ca_file: str = Field(
        default="", description="SkyPilot: file with the certificates to trust instead of the system's."
    )
    allow_insecure: bool = Field(
        default=False,
        description="SkyPilot: accept plain http to another machine; who is on the way can read everything.",
    )
    workspace: str = Field(
        default="",
        description="SkyPilot: workspace of the server that nodes are made in; its default if empty.",
    )


class CandidateGroup(Model):
    """GPUs and regions of one cloud account; each pair is tried: GPU by GPU, each in every region."""

    cloud: CloudName = Field(description="Cloud to rent from.")
    credentials: str = Field(min_length=1, description="Name of a credential set of that cloud.")
    gpus: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        min_length=1, description="GPU names, preferred first."
    )
    regions: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(),
        description="Region groups (`eu-central`) or the cloud's own ids, preferred first; none for any. "
        "SkyPilot: its own words only, `slurm/hall1`, `aws/us-east-1`, `k8s`.",
    )
    gpu_count: int | None = Field(
        default=None, ge=1, le=16, description="GPUs in a node; the cluster's `gpuCount` if left out."
    )
    capacity: CapacityName | None = Field(
        default=None, description="How the node is rented; the cluster's `capacity` if left out."
    )
    bid_per_gpu_usd: Usd | None = Field(
        default=None,
        description="With capacity `spot`: what is offered for one GPU, USD per hour; the cloud's lowest bid "
        "if left out.",
    )
    provision_deadline_s: int | None = Field(
        default=None,
        ge=10,
        le=86_400,
        description="How long one launch of these may take; the cluster's `provisionDeadlineS` if left out.",
    )
    priority: int = Field(
        default=100,
        ge=0,
        le=1_000_000,
        description="Lower goes first; equal ones keep the order of the file.",
    )
    enabled: bool = Field(default=True, description="`false` leaves this group out without deleting it.")


class WeightsCache(Model):
    """A disk that the nodes of a class share, one in each place that they are in; docs/weights-cache.md."""

    size_gb: int = Field(
        ge=10, le=4096, description="Size of each, GB; a larger one is for those made later."
    )
    path: str = Field(
        default="/weights",
        pattern=r"^/[^\s]*$",
        description="Where nodes mount it; point `HF_HOME` or the like there.",
    )
    keep: bool = Field(
        default=False,
        description="`true`: a destroy leaves it, and it goes on costing; the next `up` finds it.",
    )


class NodeClass(Model):
    """A named, ordered choice of machines that clusters refer to."""

    candidates: tuple[CandidateGroup, ...] = Field(min_length=1, description="What to try.")
    order: Order = Field(
        default="listed", description="`listed`: as written (after `priority`); `price`: cheapest first."
    )
    weights_cache: WeightsCache | None = Field(
        default=None,
        description="Disk that the nodes share in each place; every candidate then needs regions.",
    )


class Readiness(Model):
    """How a node shows that it can serve; docs/provisioning.md has the details."""

    kind: Literal["none", "http", "tcp", "command"] = Field(
        default="none",
        description="`http`: a GET answers 2xx; `tcp`: the port accepts; `command`: a command on the node "
        "ends with 0; `none`: it runs.",
    )
    port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="Port inside the node, one of the cluster's `ports`; the first that fits if left out.",
    )
    path: str = Field(default="/health", pattern=r"^/[^\s]*$", description="Path of the GET.")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="Headers of the GET; every value is treated as a secret."
    )
    command: SecretStr | None = Field(
        default=None, description="For `command`: what the node's `sh` runs over SSH; treated as a secret."
    )
    tries: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="For `command`: after so many refusals in a row the node is ended, and its place tried "
        "last; 0: only the deadline ends it.",
    )
    gpu: bool = Field(
        default=False,
        description="Over SSH: `nvidia-smi` has to list every GPU, and CUDA has to get memory on each, "
        "before anything else is asked.",
    )
    timeout_s: int | None = Field(
        default=None,
        ge=1,
        le=600,
        description="How long one probe may take; 5 from outside and 60 over SSH if left out.",
    )
    ssh_key: SecretStr | None = Field(
        default=None, description="Private key for SSH, as a secure value; or `sshKeyFile`, or none."
    )
    ssh_key_file: str = Field(
        default="",
        description="Path of a private key on the machine that runs `pulumi`. Without any key: the stack's "
        "own (Lambda), then the user's agent and usual keys.",
    )


class Cluster(Model):
    """`nodes` equal nodes, named `<cluster>-0`, `<cluster>-1` and so on."""

    nodes: int = Field(default=1, ge=0, le=10_000, description="How many nodes.")
    node_class: str | None = Field(default=None, description="Name of a node class; or give `candidates`.")
    candidates: tuple[CandidateGroup, ...] = Field(
        default=(), description="What to try, for this cluster alone; or give `nodeClass`."
    )
    order: Order | None = Field(
        default=None, description="Order of the candidates; the node class's if left out, else `listed`."
    )
    image: str = Field(default="", description="Container image; exactly one of `image` and `template`.")
    template: str = Field(default="", description="Id of a template that lives in the cloud.")
    gpu_count: int = Field(
        default=1, ge=1, le=16, description="GPUs in a node, for candidates that do not say."
    )
    capacity: CapacityName = Field(
        default="on_demand", description="How nodes are rented, for candidates that do not say."
    )
    disk_gb: int = Field(default=50, ge=1, le=100_000, description="Scratch disk, GB.")
    volume_gb: int = Field(
        default=0, ge=0, le=100_000, description="Disk that outlives a stop of the node, GB; 0 for none."
    )
    volume_path: str = Field(
        default="/workspace", pattern=r"^/[^\s]*$", description="Where that disk is mounted."
    )
    ports: tuple[Annotated[str, Field(pattern=r"^[0-9]{1,5}/(http|tcp)$")], ...] = Field(
        default=(), description="Ports reached from outside: `8000/http`, `22/tcp`."
    )
    env: dict[str, SecretStr] = Field(
        default_factory=dict, description="Environment of the node; every value is treated as a secret."
    )
    api_key: SecretStr | None = Field(
        default=None,
        description="Key that the node's server asks of its callers, as a secure value: `VLLM_API_KEY`.",
    )
    args: str = Field(default="", description="Arguments to the image's entry point.")
    startup: str = Field(
        default="", repr=False, description="Script that a virtual machine runs at its first boot."
    )
    ssh_public_keys: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="SSH public keys that may log in."
    )
    readiness: Readiness = Field(default=Readiness(), description="How a node shows that it can serve.")
    keep_on_failure: bool = Field(
        default=False,
        description="Keep a node that did not become ready, to look at it (it goes on costing).",
    )
    delete_before_replace: bool = Field(
        default=True,
        description="End an old node before its replacement is made; `false`: after it (double capacity).",
    )
    rolling: bool = Field(
        default=False, description="Replace one node at a time, each ended before its replacement is made."
    )
    replace_trigger: str = Field(
        default="", max_length=200, description="Any text; changing it replaces every node."
    )
    max_hourly_usd: Usd | None = Field(
        default=None, description="Cap on the price of one node, USD per hour; a dearer one is refused."
    )
    budget_hourly_usd: Usd | None = Field(
        default=None, description="Cap on the price of the whole cluster, USD per hour."
    )
    wait_for_capacity_min: int = Field(
        default=0,
        ge=0,
        le=10_080,
        description="How long to go round all candidates again while none has capacity, minutes.",
    )
    provision_deadline_s: int | None = Field(
        default=None,
        ge=10,
        le=86_400,
        description="How long one launch may take; the cloud's own if left out.",
    )
    expires_at: AwareDatetime | None = Field(
        default=None, description="When the nodes are no longer wanted: `2027-01-31T18:00:00Z`."
    )
    adopt_ids: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict,
        description="Node name -> id of an existing node of the cloud, taken over instead of a launch.",
    )


class Settings(Model):
    """What holds for the whole stack."""

    settle_s: int = Field(
        default=60,
        ge=0,
        le=3600,
        description="Longest time a cloud may take to show a node whose launch was not answered, seconds.",
    )
    delete_deadline_s: int = Field(
        default=300, ge=10, le=86_400, description="How long the end of a node may take, seconds."
    )
    price_tolerance_pct: float = Field(
        default=10.0,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="`gpuplane up --plan` refuses a node dearer than planned by more than this, percent.",
    )
    tags: dict[str, Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=dict,
        description="Whose the stack is, such as `owner` and `cost-centre`: the stack's output `tags`.",
    )


class StackFile(Model):
    """The configuration namespace `gpuplane` of one stack."""

    stack_id: str = Field(
        default="",
        description="8 lower-case letters or digits, part of every node's name; `gpuplane init` writes it. "
        "Never change it while nodes live.",
    )
    credentials: dict[str, CredentialSource] = Field(
        default_factory=dict, description="Credential sets: name -> account of a cloud."
    )
    node_classes: dict[str, NodeClass] = Field(
        default_factory=dict, description="Node classes: name -> what to try."
    )
    clusters: dict[str, Cluster] = Field(default_factory=dict, description="Clusters: name -> equal nodes.")
    skypilot_servers: dict[str, SkyPilotServer] = Field(
        default_factory=dict, description="SkyPilot API servers that the stack makes: name -> server."
    )
    skypilot_clusters: dict[str, SkyPilotCluster] = Field(
        default_factory=dict, description="Clusters on SkyPilot API servers: name -> cluster."
    )
    skypilot_tenants: dict[str, SkyPilotTenant] = Field(
        default_factory=dict, description="Tenants of SkyPilot API servers: name -> tenant."
    )
    eks_clusters: dict[str, EksCluster] = Field(
        default_factory=dict, description="Kubernetes on AWS: name -> cluster with GPU pools."
    )
    gke_clusters: dict[str, GkeCluster] = Field(
        default_factory=dict, description="Kubernetes on Google Cloud: name -> cluster with GPU pools."
    )
    aks_clusters: dict[str, AksCluster] = Field(
        default_factory=dict, description="Kubernetes on Azure: name -> cluster with GPU pools."
    )
    postgres_services: dict[str, PostgresServer] = Field(
        default_factory=dict, description="PostgreSQL databases: name -> database."
    )
    redis_services: dict[str, RedisServer] = Field(
        default_factory=dict, description="Redis databases: name -> database."
    )
    model_servers: dict[str, ModelServerSpec] = Field(
        default_factory=dict, description="Models that are served on Kubernetes: name -> server."
    )
    control_plane: ControlPlane | None = Field(
        default=None, description="The gateway in front of the clusters; none if left out or empty."
    )
    settings: Settings = Field(default=Settings(), description="What holds for the whole stack.")
    policies: Policies = Field(
        default=Policies(), description="Limits that the policies hold; docs/policies.md."
    )
