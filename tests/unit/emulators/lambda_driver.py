"""The driver of the emulators, with the words of Lambda."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emulators.lambda_cloud.settings import DEFAULT_KEY
from tests.unit.emulators.driver import EIGHT_OCLOCK, Driver, Reply

API = "/api/v1"
A10 = "gpu_1x_a10"
REGION = "us-east-1"
USER_DATA = """#cloud-config
write_files:
 - path: /etc/own/env.sh
   content: |
     VLLM_API_KEY='upstream key'
     LINES='one
     two'
runcmd:
 - [bash, -c, 'docker run -d --gpus all -e VLLM_API_KEY -e MODEL=org/model -p 8000:8000 vllm/vllm-openai:v1']
"""


class LambdaDriver(Driver):
    """An emulated Lambda and a client in one. There is one SSH key, `mine`, in the default account."""

    def __init__(self, folder: Path | None = None, *, start: float = EIGHT_OCLOCK, **settings: Any) -> None:
        super().__init__(folder, start=start)
        self.cloud = self.emulators.lambda_cloud
        self.cloud.change_settings(settings)
        if not self.ok("GET", "/ssh-keys"):
            self.ok("POST", "/ssh-keys", {"name": "mine", "public_key": "ssh-ed25519 AAAA me"})

    def __enter__(self) -> LambdaDriver:
        return self

    def api(self, method: str, path: str, body: Any = None, **more: Any) -> Reply:
        return self.call(method, f"{API}{path}", body, **{"key": DEFAULT_KEY, **more})

    def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        reply = self.api(method, path, body, **more)
        assert reply.status == 200, reply.body
        return reply.json()["data"]

    def refused(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        reply = self.api(method, path, body, **more)
        return reply.status, reply.json()["error"]["code"]

    def launch(self, name: str = "node", **more: Any) -> str:
        found: str = self.ok("POST", "/instance-operations/launch", launch_body(name, **more))[
            "instance_ids"
        ][0]
        return found

    def end(self, instance_id: str) -> Any:
        return self.ok("POST", "/instance-operations/terminate", {"instance_ids": [instance_id]})

    def statuses(self) -> list[str]:
        return [one["status"] for one in self.ok("GET", "/instances")]


def launch_body(name: str = "node", **more: Any) -> dict[str, Any]:
    return {
        "region_name": REGION,
        "instance_type_name": A10,
        "ssh_key_names": ["mine"],
        "name": name,
        "hostname": "node",
        "tags": [{"key": "gpuplane-marker", "value": name}],
        "user_data": USER_DATA,
        **more,
    }
