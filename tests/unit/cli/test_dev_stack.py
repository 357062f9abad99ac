"""The dev stack's parts, with an emulated cloud and an engine that only answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cli.dev_stack import DevStack
from cli.emulated import clouds_of, left_in, running_scale
from cli.errors import CliError
from cli.pulumi_cli import Pulumi
from tests.unit.cli.conftest import Project

ROOT = Path(__file__).parents[3]
STATES = {
    "runpod": {
        "pods": [
            {"name": "gp-p-devlocal-chat-0-00000000", "phase": "RUNNING"},
            {"name": "gp-p-devlocal-chat-1-00000000", "phase": "TERMINATED"},
            {"name": "stopped", "phase": "EXITED"},
        ],
        "ended": [{"name": "old", "phase": "TERMINATED"}],
        "volumes": {"default": [{"id": "v1", "name": "weights"}], "second": []},
        "accounts": {"default": {"spent_usd": 1}},
    },
    "lambda": {
        "instances": [
            {"name": "booting", "status": "booting"},
            {"name": "over", "status": "terminated"},
            {"name": "taken", "status": "preempted"},
            {"name": "forgotten", "status": ""},
        ],
        "accounts": {
            "default": {
                "spent_usd": 1,
                "ssh_keys": ["k"],
                "firewall_rulesets": ["f"],
                "file_systems": [],
                "firewall_rules": [{"description": "everybody has these"}],
            }
        },
    },
    "paperspace": {
        "machines": [
            {"name": "off", "state": "off", "deleted_at": None},
            {"name": "gone", "state": "off", "deleted_at": 3.5},
        ],
        "accounts": {"default": {"objects": {"startup-scripts": 2, "snapshots": 0}}},
    },
}
LEFT = {
    "runpod": ["gp-p-devlocal-chat-0-00000000", "stopped", "network-volumes weights"],
    "lambda": ["booting", "ssh_keys k", "firewall_rulesets f"],
    "paperspace": ["off", "startup-scripts x2"],
}


@pytest.fixture
def cloud(project: Project) -> Iterator[Path]:
    """Emulated clouds that answer with `STATES`; yields their folder."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            cloud = self.path.removeprefix("/_emu/").removesuffix("/state")
            found = cloud in STATES
            body = json.dumps(STATES.get(cloud, {})).encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    folder = project.root / "emulators-folder"
    folder.mkdir()
    api = f"http://127.0.0.1:{server.server_port}/v2"
    clouds = {name: {"api": api} for name in STATES}
    (folder / "endpoints.json").write_text(json.dumps({"time_scale": 20.0, "clouds": clouds}))
    yield folder
    server.shutdown()
    thread.join()
    server.server_close()


def dev_stack(project: Project, folder: Path) -> DevStack:
    environment = {**project.pulumi.environment, "GPUPLANE_EMULATOR_DIR": str(folder)}
    return DevStack(Pulumi(project.root, environment, "dev"), lambda _line: None)


def test_what_is_left_is_what_costs_or_was_made_for_a_node(cloud: Path) -> None:
    found = {name: left_in(name, api) for name, api in clouds_of({"GPUPLANE_EMULATOR_DIR": str(cloud)})}
    assert found == {name: [f"{name} {what}" for what in left] for name, left in LEFT.items()}


def test_what_is_left_is_named(project: Project, cloud: Path) -> None:
    with pytest.raises(CliError) as caught:
        dev_stack(project, cloud).refuse_leftovers()
    assert caught.value.message == (
        "8 thing(s) are left in the emulated clouds: lambda booting, lambda ssh_keys k, "
        "lambda firewall_rulesets f, paperspace off, paperspace startup-scripts x2, "
        "runpod gp-p-devlocal-chat-0-00000000, runpod stopped, runpod network-volumes weights; "
        "`make up` takes over what is this stack's, then `make down` ends it"
    )


def test_no_emulated_cloud_has_no_node(project: Project, tmp_path: Path) -> None:
    dev_stack(project, tmp_path).refuse_leftovers()
    assert not dev_stack(project, tmp_path / "never").ever_started()


def test_a_cloud_that_does_not_answer_is_one_line(cloud: Path) -> None:
    _, api = clouds_of({"GPUPLANE_EMULATOR_DIR": str(cloud)})[0]
    with pytest.raises(CliError, match=r"/_emu/other/state does not answer \(HTTPStatusError\)"):
        left_in("other", api)


@pytest.mark.parametrize("text", ["", "[]", '{"clouds": 3}', '{"clouds": {"runpod": {}}}'])
def test_a_broken_endpoints_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "endpoints.json").write_text(text)
    with pytest.raises(CliError, match="run `python -m emulators stop`"):
        clouds_of({"GPUPLANE_EMULATOR_DIR": str(tmp_path)})
    assert running_scale(tmp_path) is None


@pytest.mark.parametrize(("listed", "exists"), [("[]", False), ('[{"name": "x/y/dev"}]', True)])
def test_the_stack_is_removed_only_where_it_is(
    project: Project, tmp_path: Path, listed: str, exists: bool
) -> None:
    project.answers({"stack ls --json": (0, listed, "")})
    dev_stack(project, tmp_path).remove()
    removed = [["stack", "rm", "dev", "--yes", "--preserve-config"]]
    assert project.calls() == [["stack", "ls", "--json"], *(removed if exists else [])]


def test_emulators_that_do_not_start_are_one_line(project: Project, tmp_path: Path) -> None:
    environment = {
        **project.pulumi.environment,
        "GPUPLANE_EMULATOR_DIR": str(tmp_path),
        "GPUPLANE_TIME_SCALE": "fast",
    }
    stack = DevStack(Pulumi(ROOT, environment, "dev"), lambda _line: None)
    with pytest.raises(
        CliError, match=r"^the emulated clouds do not start: emulators: .*GPUPLANE_TIME_SCALE"
    ):
        stack.start_emulators()
