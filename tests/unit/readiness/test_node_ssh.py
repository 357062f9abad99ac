"""Probes that log in, against a real SSH server and with the ssh client of this machine."""

from __future__ import annotations

import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gpu_clouds.errors import CancelledError, ValidationError
from gpu_clouds.models import Endpoint, Instance, InstanceState
from gpu_clouds.node_ssh import ssh_address
from gpu_clouds.probing import NodeProbe
from gpu_clouds.readiness import Readiness
from tests.unit.readiness.conftest import instance
from tests.unit.readiness.ssh_server import Node, new_key, ssh_server

SECRET = "canary-secret-77131"


def command(text: str, **more: object) -> Readiness:
    return Readiness("command", command=text, **more)  # type: ignore[arg-type]  # a table's rows


@pytest.mark.parametrize(
    ("text", "ok", "detail"),
    [
        ("true", True, ""),
        ("exit 0; false", True, ""),
        ("false", False, "the readiness command ends with 1"),
        ("echo model is loading >&2; exit 3", False, "the readiness command ends with 3: model is loading"),
        ("exit 255", False, "the readiness command ends with 255"),
        ("no-such-program", False, "the readiness command ends with 127"),
        ("if", False, "the readiness command ends with 2"),
        ('test "$(printf \'%s\' "a \'b\' \\"c\\" $ * `echo d`")" = "a \'b\' \\"c\\" $ * d"', True, ""),
        ("cat >/dev/null; read line; true", True, ""),
        ("first=1\ntest $first = 1 &&\n  # a comment\n  true", True, ""),
    ],
)
def test_a_command_is_run_as_it_stands(
    node: Node, probe: NodeProbe, text: str, ok: bool, detail: str
) -> None:
    answer = probe(instance(node), command(text))
    assert (answer.ok, answer.refused_by) == (ok, "" if ok else "command")
    assert answer.detail.startswith(detail) and "\n" not in answer.detail


def test_no_secret_is_an_argument_or_left_on_disk(
    node: Node, probe: NodeProbe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "state" / "id_ed25519"
    key = own.read_text()
    own.unlink()
    seen: list[list[str]] = []
    environments: list[dict[str, str]] = []
    real = subprocess.Popen

    def spy(words: list[str], **more: object) -> subprocess.Popen[bytes]:
        seen.append(words)
        environments.append(more["env"])  # type: ignore[arg-type]  # what the code under test passes
        return real(words, **more)  # type: ignore[call-overload, no-any-return]  # passed on as it came

    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", SECRET)
    monkeypatch.setattr(subprocess, "Popen", spy)
    asked = command(f"test {SECRET} = {SECRET}", ssh_key=key)
    assert probe(instance(node), asked)
    middle = key.splitlines()[1]
    assert SECRET not in f"{seen} {environments} {node.commands} {asked}"
    assert middle not in f"{seen} {asked}"
    assert all(middle not in f.read_text() for f in (tmp_path / "state").rglob("*") if f.is_file())


def test_a_key_file_is_used_alone(node: Node, probe: NodeProbe, tmp_path: Path) -> None:
    other = tmp_path / "my keys" / "node %h key"
    fingerprint = new_key(other)
    refused = probe(instance(node), command("true", ssh_key_file=str(other)))
    assert not refused and refused.refused_by == ""
    assert refused.detail.startswith(f"cannot log in to ubuntu@127.0.0.1:{node.port}: ")
    assert "Permission denied" in refused.detail
    node.accepts = {fingerprint}
    assert probe(instance(node), command("true", ssh_key_file=str(other)))
    assert {login.split()[1] for login in node.logins} == {fingerprint}


def test_a_missing_key_file_is_told_before_anything_is_launched(
    probe: NodeProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_clouds.probing.ssh_program", lambda: "ssh")
    asked = command("true", ssh_key_file="~/no/such/key")
    with pytest.raises(ValidationError, match="this machine has no file ~/no/such/key"):
        probe.check(asked)
    probe.check(Readiness("tcp", 8000))


def test_a_machine_without_ssh_says_so(probe: NodeProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValidationError, match="this machine has no `ssh`: install OpenSSH's client"):
        probe.check(Readiness(gpu=True))


def test_a_host_key_is_accepted_once(node: Node, probe: NodeProbe, tmp_path: Path) -> None:
    assert probe(instance(node), command("true"))
    known = tmp_path / "state" / "known_hosts"
    assert [f.name for f in known.iterdir()] == ["gpuplane-i-1"]
    assert stat.S_IMODE(known.stat().st_mode) == 0o700
    with ssh_server(tmp_path) as other:
        other.accepts = node.accepts
        # The address may go from one node to the next; a node's key may not change.
        assert probe(instance(other, "i-2"), command("true"))
        changed = probe(instance(other), command("true"))
        assert not changed and changed.refused_by == "" and "cannot log in" in changed.detail
        probe.forget("i-1")
        assert probe(instance(other), command("true"))


def test_what_does_not_end_is_a_refusal(node: Node, probe: NodeProbe) -> None:
    answer = probe(instance(node), command("sleep 60", timeout_s=1.5))
    assert not answer and answer.refused_by == "command"
    assert answer.detail == "the readiness command does not end within 2 s"


def test_what_writes_without_end_is_stopped(node: Node, probe: NodeProbe) -> None:
    answer = probe(instance(node), command("head -c 3000000 /dev/zero | tr '\\0' a; sleep 60", timeout_s=60))
    assert not answer and len(answer.detail) < 400


def test_nobody_there_is_not_a_refusal(node: Node, probe: NodeProbe) -> None:
    closed = Instance("i", "n", "lambda", InstanceState.READY, "active", ssh="ubuntu@127.0.0.1:1")
    answer = probe(closed, command("true"))
    assert not answer and answer.refused_by == "" and "refused" in answer.detail
    unknown = Instance("i", "n", "lambda", InstanceState.READY, "active")
    assert probe(unknown, command("true")).detail == "no address to log in yet"


def test_trouble_of_this_machine_is_not_the_nodes(node: Node, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    probe = NodeProbe(tmp_path / "file", threading.Event())
    answer = probe(instance(node), command("true"))
    assert (answer.ok, answer.refused_by) == (False, "")
    assert answer.detail == "ssh can't be run here (Not a directory)"


def test_a_cancel_ends_a_probe_that_runs(node: Node, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop() -> None:
        while not node.commands:
            time.sleep(0.01)
        cancel.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(CancelledError):
        NodeProbe(tmp_path / "state", cancel)(instance(node), command("sleep 60", timeout_s=30))
    stopper.join()


@pytest.mark.parametrize(
    ("ssh", "url", "expected"),
    [
        ("root@1.2.3.4:22", "", ("root", "1.2.3.4", 22)),
        ("pod@ssh.example:22", "tcp://5.6.7.8:40022", ("pod", "5.6.7.8", 40022)),
        ("", "tcp://[2001:db8::1]:40022", ("root", "2001:db8::1", 40022)),
        ("root@[2001:db8::1]:22", "", ("root", "2001:db8::1", 22)),
        ("-oProxyCommand=x@host:22", "", None),
        ("root@-oProxyCommand=x:22", "", None),
        ("root@host", "", None),
        ("", "tcp://-oProxyCommand:22", None),
    ],
)
def test_addresses(ssh: str, url: str, expected: tuple[str, str, int] | None) -> None:
    ways = (Endpoint(22, "tcp", url),) if url else ()
    found = ssh_address(Instance("i", "n", "c", InstanceState.READY, "", endpoints=ways, ssh=ssh))
    assert (found and (found.user, found.host, found.port)) == expected
