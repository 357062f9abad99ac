"""A provider as one would write it at first: it launches without looking. The matrix has to find it out."""

from __future__ import annotations

import http.client
import json
import os
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pulumi.dynamic import CreateResult, DiffResult, ResourceProvider, UpdateResult

TYPE = "pulumi-python:dynamic/careless:GpuNode"
PLACE = "tests.crash.careless:CarelessProvider"


class CarelessProvider(ResourceProvider):
    """Launch, wait, done."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Launches and waits."""
        gpu = {"id": "NVIDIA GeForce RTX 4090", "count": 1}
        name = f"gp-p-{props['stackId']}-{props['node']}-00000000"
        pod = _call("POST", "/pods", {"name": name, "image": props["image"], "gpu": gpu})
        while not any(one["id"] == pod["id"] and one["runtime"] for one in _call("GET", "/pods")["pods"]):
            time.sleep(0.1)
        return CreateResult(pod["id"], dict(props))

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Nothing ever replaces."""
        return DiffResult(changes=olds["image"] != news["image"], replaces=[])

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        """Changes the image."""
        _call("PATCH", f"/pods/{id}", {"image": news["image"]})
        return UpdateResult(dict(news))

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Ends it; already gone is an error here, which is another thing to find."""
        _call("DELETE", f"/pods/{id}")


def _call(method: str, path: str, body: object = None) -> Any:
    folder = Path(os.environ["GPUPLANE_EMULATOR_DIR"])
    api = urlsplit(json.loads((folder / "endpoints.json").read_text())["clouds"]["runpod"]["api"])
    connection = http.client.HTTPConnection(api.hostname or "", api.port, timeout=20)
    headers = {
        "authorization": f"Bearer {os.environ['GPUPLANE_CRASH_KEY']}",
        "user-agent": "careless",
        "content-type": "application/json",
    }
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, api.path + path, data, headers)
        response = connection.getresponse()
        text = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status}")
        return json.loads(text) if text else None
    finally:
        connection.close()
