"""Every request that the Paperspace client sends, checked against the description in short."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from emulators.paperspace.cloud import BASE
from gpu_clouds import catalog
from gpu_clouds.errors import GpuCloudError
from gpu_clouds.models import Candidate, InstanceTemplate
from gpu_clouds.paperspace.cloud import PaperspaceCloud
from tests.contract.paperspace_description import operation_of, request_complaints
from tests.unit.gpu_clouds.paperspace_harness import A100, NAME, STACK, World, connection, spec


class CheckedWorld(World):
    """An emulated Paperspace that fails the test at the first request that breaks the description."""

    def __init__(self, **options: object) -> None:
        self.operations: set[str] = set()
        super().__init__(**options)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        body = json.loads(content) if content else None
        operation = operation_of(request.method, request.url.path.removeprefix(BASE))
        query = dict(parse_qsl(urlsplit(str(request.url)).query))
        assert request_complaints(operation, query, body) == []
        assert request.headers["authorization"].startswith("Bearer ")
        assert body is None or request.headers["content-type"] == "application/json"
        self.operations.add(operation)
        return super().handle_request(request)


def test_a_life_sends_nothing_that_the_description_does_not_allow() -> None:
    world = CheckedWorld(page_size=1)
    world.cloud.account()
    world.cloud.offers([A100])
    made = world.launch()
    world.pass_time(20)
    world.cloud.list(STACK)
    world.pass_time(200)
    ready = world.cloud.get(made.id)
    ip = world.api("POST", "/public-ips", {"region": "ny2"})["ip"]
    world.api("PUT", f"/public-ips/{ip}", {"machineId": ready.id})
    world.api("POST", "/snapshots", {"name": "s", "machineId": ready.id})
    larger = InstanceTemplate(image="i", disk_gb=900, ports=("80/http",))
    world.cloud.update(ready.id, spec(template=larger))
    world.pass_time(100)
    world.cloud.stop(ready.id)
    world.pass_time(200)
    world.cloud.start(ready.id)
    world.pass_time(200)
    world.cloud.list(STACK)
    world.cloud.delete(ready.id)
    world.pass_time(60)
    world.cloud.get(ready.id)
    assert world.left == 0
    assert world.operations == {
        "GET /auth/session",
        "GET /billing/account-standing",
        "GET /machine-availability",
        "GET /machine-events",
        "GET /machine-events/{id}",
        "GET /machines",
        "GET /machines/{id}",
        "GET /os-templates",
        "GET /public-ips",
        "GET /snapshots",
        "GET /startup-scripts",
        "POST /machines",
        "POST /startup-scripts",
        "PUT /machines/{id}",
        "PUT /public-ips/{id}",
        "PATCH /machines/{id}/start",
        "PATCH /machines/{id}/stop",
        "DELETE /machines/{id}",
        "DELETE /public-ips/{id}",
        "DELETE /snapshots/{id}",
        "DELETE /startup-scripts/{id}",
    }


@given(
    gpu=st.sampled_from(catalog.native_gpus("paperspace")),
    count=st.sampled_from([1, 2, 4, 8]),
    region=st.sampled_from(["", "us-east", "us-west", "eu-central", "NY2", "native:ny2"]),
    template=st.builds(
        InstanceTemplate,
        image=st.sampled_from(["", "img:v1"]),
        template_id=st.sampled_from(["", "twnlo3zj"]),
        disk_gb=st.integers(1, 16000),
        volume_gb=st.integers(0, 100),
        ports=st.sampled_from([(), ("8000/http",), ("22/tcp", "80/http")]),
        env=st.dictionaries(st.sampled_from(["A", "B"]), st.text(max_size=5)),
        startup=st.sampled_from(["", "true"]),
    ),
    hours=st.none() | st.integers(1, 400),
)
@settings(max_examples=40, deadline=None)
def test_no_launch_breaks_the_description(
    gpu: str, count: int, region: str, template: InstanceTemplate, hours: int | None
) -> None:
    world = CheckedWorld()
    expires_at = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    candidate = Candidate("paperspace", "main", region, gpu, count)
    try:
        made = world.cloud.create(spec(NAME, candidate, template, expires_at=expires_at))
    except GpuCloudError:
        assert world.left == 0
    else:
        assert made.name == NAME
        assert (made.gpu, made.gpu_count) == (gpu, count)


def test_the_client_is_the_one_that_the_registry_opens() -> None:
    assert isinstance(PaperspaceCloud(connection(World().clock)), PaperspaceCloud)
