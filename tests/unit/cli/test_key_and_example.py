"""The key of a cluster in clear text, and a request that holds none."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from cli.main import run
from cli.request_example import curl, example, http_url, python
from cli.state import Node
from tests.unit.cli.conftest import Project
from tests.unit.stack_config.examples import example as configuration


def answers(project: Project, **more: object) -> None:
    values = {**configuration(), **more}
    values["clusters"]["chat"]["apiKey"] = "canary-upstream"
    config = {
        f"gpuplane:{k}": {"objectValue" if isinstance(v, dict) else "value": v} for k, v in values.items()
    }
    outputs = {
        "apiKeys": {"embed": "canary-made"},
        "controlPlane": {"apiKeys": {"default": "canary-gateway"}},
    }
    project.answers({"config": (0, json.dumps(config), ""), "stack": (0, json.dumps(outputs), "")})


def with_gateway() -> dict[str, object]:
    values = configuration()
    clusters = {**values["clusters"], "embed": {**values["clusters"]["embed"], "ports": ["8000/http"]}}
    served = {"chat": {"models": ["tiny"]}, "embed": {"models": ["tiny"]}}
    plane = {
        "target": "local",
        "port": 8123,
        "clusters": served,
        "models": {"best": {"targets": [{"model": "tiny"}]}},
    }
    return {"clusters": clusters, "controlPlane": plane}


def test_the_key_is_all_that_is_printed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    answers(project)
    assert run(["key", "chat", "--stack", "prod"]) == 0
    assert capsys.readouterr().out == "canary-upstream\n"


@pytest.mark.parametrize(
    ("cluster", "line"),
    [
        ("chta", 'stack prod has no cluster "chta"; did you mean "chat"?'),
        ("zzzz", 'stack prod has no cluster "zzzz"; use one of chat, embed'),
        ("embed", "cluster embed has no apiKey: its nodes ask for none"),
    ],
)
def test_no_key(project: Project, capsys: pytest.CaptureFixture[str], cluster: str, line: str) -> None:
    answers(project)
    assert run(["key", cluster, "--stack", "prod"]) == 1
    assert capsys.readouterr().err == f"gpuplane: {line}\n"


@pytest.mark.parametrize(
    ("of", "key"),
    [
        ("gateway", "canary-gateway"),
        ("gateway/default", "canary-gateway"),
        ("chat", "canary-upstream"),
        ("embed", "canary-made"),
    ],
)
def test_a_key_that_the_stack_has_made(
    project: Project, capsys: pytest.CaptureFixture[str], of: str, key: str
) -> None:
    answers(project, **with_gateway())
    assert run(["key", of, "--stack", "prod"]) == 0
    assert capsys.readouterr().out == f"{key}\n"


def test_no_key_of_the_gateway(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    answers(project, **with_gateway())
    assert run(["key", "gateway/defualt", "--stack", "prod"]) == 1
    assert 'has no key "defualt"; did you mean "default"?' in capsys.readouterr().err
    answers(project)
    assert run(["key", "gateway", "--stack", "prod"]) == 1
    assert 'stack prod has no cluster "gateway"' in capsys.readouterr().err


def test_a_key_before_the_first_up(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    values = {**configuration(), **with_gateway()}
    config = {
        f"gpuplane:{k}": {"objectValue" if isinstance(v, dict) else "value": v} for k, v in values.items()
    }
    project.answers({"config": (0, json.dumps(config), ""), "stack": (0, "{}", "")})
    assert run(["key", "gateway", "--stack", "prod"]) == 1
    assert "stack prod has no such key yet: bring it up first" in capsys.readouterr().err


def test_the_example_goes_through_the_gateway(project: Project) -> None:
    answers(project, **with_gateway())
    shown = example(project.pulumi, [])
    assert "curl -sS http://127.0.0.1:8123/v1/chat/completions" in shown
    assert '"model": "best"' in shown
    assert "key gateway --stack prod)" in shown
    assert "canary" not in shown


def test_the_python_of_the_example_is_python() -> None:
    command = python("http://127.0.0.1:8123", "gpuplane key gateway", 'a"b', "python")
    head, _, rest = command.partition(" - <<'END'\n")
    assert "OPENAI_BASE_URL=http://127.0.0.1:8123/v1 " in head
    assert "OPENAI_API_KEY=$(gpuplane key gateway) " in head
    compile(rest.removesuffix("END"), "example", "exec")


ENDPOINTS = (
    {"port": 22, "protocol": "tcp", "url": "tcp://h:1"},
    {"port": 80, "protocol": "http", "url": "http://h/x/"},
)


def test_the_first_http_endpoint_is_taken() -> None:
    assert http_url(ENDPOINTS) == "http://h/x"
    assert http_url(ENDPOINTS[:1]) == ""
    assert http_url([{"protocol": "http"}]) == ""


def test_the_request_is_one_shell_command_without_a_key() -> None:
    words = shlex.split(curl("http://h/x", "gpuplane key chat").replace("\\\n", ""))
    assert words[:3] == ["curl", "-sS", "http://h/x/v1/chat/completions"]
    assert words[4] == "Authorization: Bearer $(gpuplane key chat)"
    assert json.loads(words[-1])["messages"][0]["content"] == "Hello"


def test_the_example_is_of_a_node_that_serves(project: Project) -> None:
    answers(project)
    nodes = [
        Node("chat-0", "a", "c", 1.0, "ending", ENDPOINTS),
        Node("other-0", "b", "c", 1.0, "", ENDPOINTS),
        Node("chat-1", "c", "c", 1.0, "", ENDPOINTS),
    ]
    shown = example(project.pulumi, nodes)
    assert "key chat --stack prod)" in shown
    assert "canary" not in shown
    assert example(project.pulumi, nodes[:2]) == ""


def test_a_cluster_without_a_key_sends_none(project: Project) -> None:
    answers(project)
    shown = example(project.pulumi, [Node("embed-0", "a", "c", 1.0, "", ENDPOINTS)])
    assert "curl" in shown
    assert "Authorization" not in shown


def test_the_command_of_the_example_is_relative_to_the_project(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers(project)
    program = project.root / ".venv" / "bin" / "gpuplane"
    program.parent.mkdir(parents=True)
    program.write_text("")
    monkeypatch.setattr("sys.executable", str(Path(program.parent / "python")))
    shown = example(project.pulumi, [Node("chat-0", "a", "c", 1.0, "", ENDPOINTS)])
    assert "$(.venv/bin/gpuplane key chat --stack prod)" in shown
