"""ControlPlane: a gateway in front of the nodes of a stack, with its keys and its table of nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pulumi
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from components.gateway_seed import KEY_LENGTH, api_key, seed
from components.node_args import secret
from dynamic_providers.gateway_node import GatewayNode
from dynamic_providers.generated_secret import GeneratedSecret
from dynamic_providers.gpu_node import GpuNode
from dynamic_providers.local_service import LocalService
from dynamic_providers.node_certificate import NodeCertificate
from stack_config import ControlPlane as Section
from stack_config import Served
from stack_config.control_plane import keys_of

SERVICE = "gateway"
"""Name of the service, and the beginning of the name of everything that belongs to it."""
HOST = "127.0.0.1"
"""Where the gateway listens unless it is told otherwise."""
START_S = 60.0
STOP_GRACE_S = 5.0
"""How much longer it may take to end than it lets streams run on after a SIGTERM."""
_SETTINGS = {
    "queue_s": "GATEWAY_QUEUE_S",
    "queue_length": "GATEWAY_QUEUE_LENGTH",
    "first_byte_s": "GATEWAY_FIRST_BYTE_S",
    "stall_s": "GATEWAY_STALL_S",
}
"""Fields of the section that may be left out -> name of the gateway's setting."""
_CODE = Path(__file__).resolve().parents[1] / "control_plane"


class ControlPlaneArgs(BaseModel):
    """Arguments of a ControlPlane.

    Attributes:
        section: What the stack file says.
        served: Clusters that it serves, by name.
        given_keys: Cluster -> upstream key that the stack file gives its nodes; one is made for the others.
            Secret.
        plain_http: Clusters whose nodes may be reached over plain http at a public address.
        before: Resources that are made before it and end after it, such as the stack's guard.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    section: Section
    served: Mapping[str, Served]
    given_keys: Mapping[str, SecretStr] = Field(default_factory=dict, repr=False)
    plain_http: frozenset[str] = frozenset()
    before: Sequence[pulumi.Resource] = ()


class ControlPlane(pulumi.ComponentResource):
    """**Pulumi type:** `gpuplane:gateway:ControlPlane`. The gateway as a supervised service of this machine.

    Nodes come in by `register`, which the clusters call for each of theirs.

    Args:
        name: Name of the component.
        args: Arguments.
        opts: Resource options.

    Attributes:
        url: Base URL of the gateway.
        openai_base_url: The same for clients of OpenAI's API: with `/v1`.
        api_keys: Name of each key -> the key; secret.
        upstream_keys: Cluster -> key that its nodes ask for; secret.
        nodes: Registered nodes, by the name of the node.
    """

    url: pulumi.Output[str]
    openai_base_url: pulumi.Output[str]
    api_keys: Mapping[str, pulumi.Output[str]]
    upstream_keys: Mapping[str, pulumi.Output[str]]
    nodes: dict[str, GatewayNode]

    def __init__(self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("gpuplane:gateway:ControlPlane", name, None, opts)
        self._args = args
        self._inside = pulumi.ResourceOptions(parent=self)
        section = args.section
        self._token = GeneratedSecret(
            f"{SERVICE}-admin-token", rotation=section.admin_rotation, opts=self._inside
        ).value
        self.api_keys = {
            key: secret(
                GeneratedSecret(
                    f"{SERVICE}-key-{key}", length=KEY_LENGTH, rotation=spec.rotation, opts=self._inside
                ).value.apply(api_key)
            )
            for key, spec in keys_of(section).items()
        }
        self.upstream_keys = {cluster: self._upstream_key(cluster) for cluster in args.served}
        service = LocalService(
            SERVICE,
            service_inputs(
                section, self._token, pulumi.Output.all(**self.api_keys).apply(partial(seed, section))
            ),
            pulumi.ResourceOptions(parent=self, depends_on=list(args.before)),
        )
        self.nodes = {}
        self._certificates: dict[str, NodeCertificate] = {}
        self.url = service.url
        self.openai_base_url = self.url.apply(lambda url: f"{url}/v1")
        self.register_outputs({"url": self.url, "openaiBaseUrl": self.openai_base_url})

    def node_tls(self, cluster: str, rotation: str, name: str) -> Mapping[str, Any]:
        """Declares a node's key and certificate; gives the node's input `tls`.

        Args:
            cluster: Its cluster, one of those that are served.
            rotation: Another text makes another certificate, and with it another node.
            name: Its name.
        """
        made = NodeCertificate(f"{SERVICE}-tls-{name}", node=name, rotation=rotation, opts=self._inside)
        self._certificates[name] = made
        return {"port": self._args.served[cluster].port, "pem": secret(made.pem)}

    def register(self, cluster: str, name: str, node: GpuNode) -> GatewayNode:
        """Declares a node's entry in the gateway's table; it goes before the node does.

        Args:
            cluster: Its cluster, one of those that are served.
            name: Its name.
            node: The node.
        """
        served = self._args.served[cluster]
        inputs: dict[str, Any] = {
            "gateway": self.url,
            "adminToken": self._token,
            "node": name,
            "nodeId": node.instanceId,
            "url": node.endpoints.apply(partial(way_in, served.port)),
            "models": list(served.models),
            "apiKey": self.upstream_keys[cluster],
            "drainS": served.spec.drain_s,
        }
        if served.spec.max_in_flight:
            inputs["maxInFlight"] = served.spec.max_in_flight
        if served.spec.router:
            inputs["router"] = True
        if name in self._certificates:
            inputs["tlsSha256"] = self._certificates[name].sha256
        elif cluster in self._args.plain_http:
            inputs["allowPlainHttp"] = True
        self.nodes[name] = GatewayNode(f"{SERVICE}-{name}", inputs, self._inside)
        return self.nodes[name]

    def outputs(self) -> dict[str, Any]:
        """What the stack exports of it; the keys are secrets."""
        names = {
            *self._args.section.models,
            *(model for each in self._args.served.values() for model in each.models),
        }
        return {
            "url": self.url,
            "openaiBaseUrl": self.openai_base_url,
            "models": sorted(names),
            "apiKeys": dict(self.api_keys),
        }

    def _upstream_key(self, cluster: str) -> pulumi.Output[str]:
        given = self._args.given_keys.get(cluster)
        if given is not None:
            return secret(given.get_secret_value())
        made = GeneratedSecret(f"{SERVICE}-upstream-{cluster}", length=KEY_LENGTH, opts=self._inside)
        return secret(made.value)


def way_in(port: int, endpoints: Sequence[Mapping[str, Any]] | None) -> str:
    """URL of a node's http port; empty where it has none.

    Args:
        port: The port inside the node.
        endpoints: The node's output.
    """
    found = (
        str(each["url"])
        for each in endpoints or ()
        if each["protocol"] == "http" and int(each["port"]) == port
    )
    return next(found, "").rstrip("/")


def service_inputs(
    section: Section, token: pulumi.Input[str], declared: pulumi.Input[str]
) -> Mapping[str, Any]:
    """Inputs of the LocalService.

    Args:
        section: What the stack file says.
        token: The admin token. Secret.
        declared: Text of the seed file.
    """
    env: dict[str, Any] = {
        # No word here that stands in other places too, such as the host: all of these are secrets, and a
        # secret is hidden wherever it shows.
        "PYTHONPATH": "{packages}",
        "GATEWAY_PORT": str(section.port),
        "GATEWAY_DATA_DIR": "{home}/data",
        "GATEWAY_SEED": "{home}/seed.json",
        "GATEWAY_ADMIN_TOKEN": token,
        "GATEWAY_DRAIN_S": str(section.drain_s),
        # Other code is another process: it is started anew with it.
        "GPUPLANE_GATEWAY_CODE": code_version(),
        **{
            setting: f"{value:g}"
            for field, setting in _SETTINGS.items()
            if (value := getattr(section, field)) is not None
        },
        **{name: value.get_secret_value() for name, value in section.env.items()},
    }
    if section.database_url is not None:
        env["DATABASE_URL"] = section.database_url.get_secret_value()
    if section.redis_url is not None:
        env["REDIS_URL"] = section.redis_url.get_secret_value()
    return {
        "command": ["{python}", "-m", "control_plane.gateway"],
        "env": env,
        "home": "home",
        "keepHome": section.keep_data,
        "files": {"seed.json": declared},
        "healthUrl": f"http://{HOST}:{section.port}/health",
        "healthTimeoutS": START_S,
        "stopGraceS": section.drain_s + STOP_GRACE_S,
        "portHolders": [section.port],
    }


@cache
def code_version() -> str:
    """Hash of the gateway's code."""
    digest = hashlib.sha256()
    for path in sorted(_CODE.rglob("*.py")):
        digest.update(str(path.relative_to(_CODE)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
