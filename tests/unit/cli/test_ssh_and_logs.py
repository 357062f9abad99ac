"""Ways into a node: the ssh command and the log."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.errors import CliError
from cli.log_lines import as_text, until_quiet
from cli.main import run
from cli.ssh_command import ssh_command
from cli.state import Node
from gpu_clouds.cloud_info import CloudInfo
from gpu_clouds.errors import TransientError
from gpu_clouds.models import LogLine
from gpu_clouds.registry import CLOUDS
from tests.unit.cli.clouded import Clouded, clouded, resource
from tests.unit.cli.conftest import Project


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    made = clouded(project, tmp_path, monkeypatch)
    made.state(resource("chat-0", "pod1", ssh="root@127.0.0.1:2222"), resource("chat-1", "pod2"))
    return made


def node(ssh: str) -> Node:
    return Node("chat-0", "pod1", "runpod L4 x1", 0.5, ssh=ssh)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("root@1.2.3.4:2222", "root@1.2.3.4", "2222"),
        ("pod1-644@ssh.runpod.io:22", "pod1-644@ssh.runpod.io", "22"),
        ("ubuntu@[2001:db8::1]:22", "ubuntu@2001:db8::1", "22"),
    ],
)
def test_the_command(address: str, host: str, port: str) -> None:
    words = ssh_command(node(address), ["nvidia-smi"], "prod")
    assert words[:3] == ["ssh", "-p", port]
    assert words[-2:] == [host, "nvidia-smi"]
    assert "HostKeyAlias=gpuplane-pod1" in words


@given(st.text(max_size=30))
def test_no_text_of_the_state_becomes_an_option(text: str) -> None:
    try:
        words = ssh_command(node(text), [], "prod")
    except CliError:
        return
    assert re.match(r"[A-Za-z0-9_]", words[-1])


def test_options_in_the_place_of_an_address_are_refused() -> None:
    for text in ("-oProxyCommand=x@h:22", "root@-oProxyCommand=x:22", "root@h:22 x", "root@h"):
        with pytest.raises(CliError, match="no user@host:port"):
            ssh_command(node(text), [], "prod")


def test_printing(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ssh", "chat-0", "--stack", "prod", "--print", "--", "ls", "-la", "a b"]) == 0
    assert capsys.readouterr().out.endswith("root@127.0.0.1 ls -la 'a b'\n")
    assert run(["ssh", "pod1", "--stack", "prod", "--print", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["node"], data["id"], data["command"][-1]) == ("chat-0", "pod1", "root@127.0.0.1")


def test_running_replaces_the_process(
    stack: Clouded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, list[str]]] = []
    monkeypatch.setattr("os.execv", lambda program, words: ran.append((program, words)))
    ssh = stack.project.root / "bin" / "ssh"
    ssh.write_text("#!/bin/sh\n")
    ssh.chmod(0o755)
    assert run(["ssh", "chat-0", "--stack", "prod", "--", "nvidia-smi"]) == 0
    assert ran[0][0] == str(ssh)
    assert ran[0][1][-2:] == ["root@127.0.0.1", "nvidia-smi"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("chat-1", "chat-1 has no address to log in: give its cluster port 22/tcp"),
        ("chat-9", 'the state of stack prod has no node "chat-9"; did you mean "chat-'),
    ],
)
def test_what_can_not_be_is_one_line(
    stack: Clouded, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    assert run(["ssh", name, "--stack", "prod"]) == 1
    assert message in capsys.readouterr().err


def test_the_new_node_is_meant_where_an_old_one_is_ending(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.state(
        resource("chat-0", "old1", ssh="root@h:1", delete=True), resource("chat-0", "new1", ssh="root@h:2")
    )
    assert run(["ssh", "chat-0", "--stack", "prod", "--print"]) == 0
    assert "gpuplane-new1" in capsys.readouterr().out


def line(text: str) -> LogLine:
    return LogLine("c1", "2026-01-02T03:04:05Z", "container", text)


def test_the_log(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.clouds["main"].lines = [line("hello"), line("key canary-key-of-main"), line("third")]
    assert run(["logs", "chat-0", "--stack", "prod", "--tail", "7", "--no-follow"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2026-01-02T03:04:05Z container hello"
    assert stack.clouds["main"].calls == ["logs pod1 7", "close"]
    assert run(["logs", "chat-0", "--stack", "prod", "--json"]) == 0
    rows = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows][::2] == ["hello", "third"]
    assert rows[0] == {"at": "2026-01-02T03:04:05Z", "source": "container", "text": "hello", "cursor": "c1"}


def test_a_cloud_without_logs_says_where_to_look(
    stack: Clouded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    info = CLOUDS["runpod"]

    def without(_name: str) -> CloudInfo:
        return replace(info, capabilities=replace(info.capabilities, logs=False))

    monkeypatch.setattr("gpu_clouds.registry.cloud_info", without)
    assert run(["logs", "chat-0", "--stack", "prod"]) == 2
    assert (
        "RunPod shows no log of a node; log in and look: `gpuplane ssh chat-0 --" in capsys.readouterr().err
    )


def test_a_log_that_is_quiet_has_ended() -> None:
    more = Event()

    def stream() -> Iterator[LogLine]:
        yield line("one")
        yield line("two")
        more.wait()

    assert [each.text for each in until_quiet(stream(), 0.05)] == ["one", "two"]
    more.set()


def test_a_log_that_ends_or_breaks_is_not_waited_for() -> None:
    assert [each.text for each in until_quiet(iter([line("one")]), 3600)] == ["one"]

    def broken() -> Iterator[LogLine]:
        yield line("one")
        raise TransientError("connection lost")

    lines = until_quiet(broken(), 3600)
    assert next(lines).text == "one"
    with pytest.raises(TransientError, match="connection lost"):
        next(lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2J\x1b[1;1Hcleared", "cleared"),
        ("\x1b]0;title\x07text", "text"),
        ("a\tb\rc\x00", "a\tbc"),
        ("token=abcdefgh12345678", "token=[removed]"),
    ],
)
def test_a_line_can_only_colour_a_terminal(text: str, shown: str) -> None:
    assert as_text(LogLine("", "", "", text)) == shown


@given(st.text())
def test_no_control_character_is_left_but_colours(text: str) -> None:
    left: Any = re.sub(r"\x1b\[[0-9;]*m", "", as_text(LogLine("", "", "", text)))
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", left)
