"""A stack with one SkyPilot API server, on the real API."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from engine.kubernetes_api.cluster import Cluster
from tests.engine.harness import REPOSITORY, STACK, Stack
from tests.kubernetes.conftest import NewStack, Objects

PROGRAM = """\
import json
import os

import pulumi

from components.sky_pilot_api_server import SkyPilotApiServer, SkyPilotApiServerArgs, SkyPilotAuth
from stack_config.skypilot_kubernetes import OnKubernetes

config = pulumi.Config("gpuplane")
secrets = json.loads(os.environ.get("SECRETS", "{}"))
more = {"oauth2_client_secret": config.require_secret("client")} if config.get("kind") == "oauth2" else {}
server = SkyPilotApiServer("sky", SkyPilotApiServerArgs(
    target="kubernetes",
    auth=SkyPilotAuth(kind=config.get("kind") or "service_accounts", password=config.get_secret("password")),
    kubernetes=OnKubernetes.model_validate_json(config.require("kubernetes")),
    config=config.get_object("config") or {},
    accounts=secrets.get("accounts") or {},
    files=secrets.get("files") or {},
    env=secrets.get("env") or {},
    database_url=config.get_secret("database"),
    start_timeout_s=60,
    **more,
))
for name in ("endpoint", "user", "password"):
    pulumi.export(name, getattr(server, name))
"""


@dataclass
class Server:
    """A stack with one server.

    Attributes:
        stack: The stack.
        namespace: The server's namespace; its workloads are in `<namespace>-clusters`.
        objects: What is in the cluster.
    """

    stack: Stack
    namespace: str
    objects: Objects

    def declare(self, on: Mapping[str, Any] | None = None, **more: Any) -> Stack:
        """Says how the server is to be; camelCase, as in a stack file."""
        whole = {"namespace": self.namespace, "small": True, "cpu": "500m", "memory": "1Gi", **(on or {})}
        self.stack.set_config({"kubernetes": json.dumps(whole), **more})
        return self.stack

    def give(self, **secrets: Any) -> None:
        """Gives accounts, files and env. The engine keeps configuration, so they come by the environment."""
        self.stack.env["SECRETS"] = json.dumps(secrets)

    def path(self, kind: str, name: str = "", group: str = "", namespace: str = "") -> str:
        root = f"/apis/{group}" if group else "/api/v1"
        return f"{root}/namespaces/{namespace or self.namespace}/{kind}{f'/{name}' if name else ''}"

    def deployment(self) -> dict[str, Any]:
        return self.objects.get(self.path("deployments", "sky-api-server", "apps/v1"))

    def container(self) -> dict[str, Any]:
        found: dict[str, Any] = self.deployment()["spec"]["template"]["spec"]["containers"][0]
        return found

    def variables(self) -> dict[str, Any]:
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.container()["env"]}

    def pods(self) -> list[str]:
        """Names of the server's pods that are not about to end."""
        found = [pod["metadata"] for pod in self.objects.get(self.path("pods"))["items"]]
        return [
            each["name"]
            for each in found
            if each["labels"].get("app") == "sky-api" and "deletionTimestamp" not in each
        ]

    def declared(self) -> Any:
        """What the start program reads."""
        maps = self.objects.get(self.path("configmaps"))["items"]
        (found,) = [each for each in maps if "declared.json" in each.get("data", {})]
        return json.loads(found["data"]["declared.json"])

    def output(self, name: str) -> str:
        shown = self.stack.run("stack", "output", name, "--show-secrets", "--stack", STACK)
        return shown.expect_ok().output.strip()


NewServer = Callable[[], Server]


@pytest.fixture
def server(new_stack: NewStack, objects: Objects, cluster: Cluster) -> Iterator[Server]:
    """A stack with one server, in namespaces of its own."""
    namespace = f"sky-{secrets.token_hex(4)}"
    stack = new_stack(PROGRAM, env={"PYTHONPATH": str(REPOSITORY)})
    yield Server(stack, namespace, objects)
    for name in (namespace, f"{namespace}-clusters"):
        if objects.exists(f"/api/v1/namespaces/{name}"):
            cluster.api.delete(f"/api/v1/namespaces/{name}")
