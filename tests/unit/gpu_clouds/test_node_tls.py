"""A certificate on its way to a node: scripts that write it, run for real, and the probe that trusts it."""

from __future__ import annotations

import base64
import os
import shlex
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dynamic_providers.inputs import NodeInputs, RunFacts
from dynamic_providers.node_certificate import NodeCertificateProvider, fingerprint, made
from dynamic_providers.node_diff import node_diff
from dynamic_providers.node_outputs import node_outputs, refreshed
from gpu_clouds import node_tls
from gpu_clouds.errors import ValidationError
from gpu_clouds.models import Candidate, Endpoint, Instance, InstanceSpec, InstanceState, InstanceTemplate
from gpu_clouds.node_tls import VARIABLE, certificate_of, with_tls
from gpu_clouds.paperspace import script
from gpu_clouds.readiness import Readiness, probe
from gpu_clouds.vast.market import body

PEM = made("chat-0")
OTHER = made("chat-0")
TEXT = base64.b64decode(PEM).decode()


def test_it_is_made_once_and_is_secret() -> None:
    provider = NodeCertificateProvider()
    assert provider.check({}, {"node": "chat-0", "rotation": ""}).inputs == {"node": "chat-0"}
    result = provider.create({"node": "chat-0"})
    state = dict(result.outs or {})
    assert state["sha256"] == fingerprint(state["pem"]) and len(state["sha256"]) == 64
    assert provider.secret_outputs == {"pem"} and state["pem"] not in (PEM, OTHER)
    assert provider.read(str(result.id), state).outs == state
    assert provider.diff("id", state, {"node": "chat-0"}).detailed == {}
    assert provider.diff("id", state, {"node": "chat-0", "rotation": "2"}).replaces == ["rotation"]
    assert provider.read("id", {}).id == ""


def test_its_parts() -> None:
    assert certificate_of(PEM).startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in certificate_of(PEM)
    assert with_tls({"A": "b"}, "--model m", PEM) == (
        {"A": "b", VARIABLE: PEM},
        f"--model m --ssl-keyfile {node_tls.FILE} --ssl-certfile {node_tls.FILE}",
    )
    for wrong in ("", "no base64!", base64.b64encode(b"text").decode(), certificate_of(PEM)):
        with pytest.raises(ValidationError) as refused:
            certificate_of(wrong)
        assert "PEM" in str(refused.value) and (not wrong or wrong not in str(refused.value))


def template() -> InstanceTemplate:
    env, args = with_tls({"VLLM_API_KEY": "k e'y"}, "--model 'a b'", PEM)
    return InstanceTemplate(image="vllm:1", ports=("8000/http",), env=env, args=args)


def stand_in(folder: Path, name: str) -> None:
    """A program that notes its arguments and its environment."""
    program = folder / name
    program.write_text(
        f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/{name}.arguments\nenv > {folder}/{name}.env\n"
    )
    program.chmod(0o700)


def test_a_machine_writes_the_file_and_gives_it_to_its_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "folder" / "tls.pem"
    monkeypatch.setattr(script, "_TLS_FILE", str(file))
    stand_in(tmp_path, "docker")
    text = script.startup_script(template())
    assert text.count(PEM) == 1 and TEXT not in text
    subprocess.run(
        ["bash"], input=text, text=True, check=True, env={"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    )
    assert file.read_text() == TEXT and file.stat().st_mode & 0o777 == 0o600
    words = (tmp_path / "docker.arguments").read_text().splitlines()
    assert f"{file}:{node_tls.FILE}:ro" in words
    assert words[-6:] == ["--model", "a b", "--ssl-keyfile", node_tls.FILE, "--ssl-certfile", node_tls.FILE]
    assert VARIABLE not in words and "VLLM_API_KEY" in words
    seen = (tmp_path / "docker.env").read_text()
    assert PEM not in seen and "VLLM_API_KEY=k e'y" in seen


def test_a_container_writes_the_file_and_becomes_vllm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "folder" / "tls.pem"
    monkeypatch.setattr(node_tls, "FILE", str(file))
    stand_in(tmp_path, "vllm")
    spec = InstanceSpec("name", Candidate("vast", "main", "", "RTX4090"), template())
    for args in (spec.template.args, f"serve {spec.template.args}"):
        sent = body(replace(spec, template=replace(spec.template, args=args)), 0.3)
        env, words = sent["env"], sent["args"]
        assert isinstance(env, dict) and isinstance(words, list)
        assert sent["entrypoint"] == "/bin/sh" and sent["runtype"] == "args" and env[VARIABLE] == PEM
        assert not any(PEM in word for word in words)
        file.unlink(missing_ok=True)
        own = {name: value for name, value in env.items() if not name.startswith("-p")}
        path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        subprocess.run([str(sent["entrypoint"]), *words], check=True, env={**own, **path})
        assert file.read_text() == TEXT and file.stat().st_mode & 0o777 == 0o600
        told = (tmp_path / "vllm.arguments").read_text().splitlines()
        assert told == ["serve", *shlex.split(spec.template.args)]
        assert PEM not in (tmp_path / "vllm.env").read_text()
    plain = replace(spec.template, env={}, args="--model m")
    assert "entrypoint" not in body(replace(spec, template=plain), 0.3)


# What becomes of it in a node's inputs and outputs.

INPUTS = {
    "guard": "testtest",
    "node": "chat-0",
    "candidates": [{"cloud": "vast", "credentials": "main", "gpu": "RTX4090"}],
    "image": "vllm:1",
    "args": "--model m",
    "ports": ["8000/http"],
    "readiness": {"kind": "http", "port": 8000, "path": "/health"},
    "tls": {"port": 8000.0, "pem": PEM},
}
SEEN = Instance(
    "7",
    "a-name",
    "vast",
    InstanceState.READY,
    "running",
    endpoints=(
        Endpoint(8000, "http", "http://198.51.100.7:41000"),
        Endpoint(9000, "http", "http://198.51.100.7:42000"),
        Endpoint(22, "tcp", "tcp://198.51.100.7:43000"),
    ),
)


def test_a_node_with_tls() -> None:
    inputs = NodeInputs.model_validate(INPUTS)
    assert PEM not in repr(inputs)
    request = inputs.request(RunFacts(60.0))
    assert request.template.env == {VARIABLE: PEM} and node_tls.FILE in request.template.args
    assert request.readiness.certificate == certificate_of(PEM)
    assert PEM not in repr(request) and "CERTIFICATE" not in repr(request)
    without = inputs.model_copy(update={"tls": None}).request(RunFacts(60.0))
    assert (without.template.env, without.template.args) == ({}, "--model m")
    assert without.readiness.certificate == ""

    outs = node_outputs(INPUTS, request.candidates[0], SEEN, ready=True, hourly_usd=0.3)
    ways = ["https://198.51.100.7:41000", "http://198.51.100.7:42000", "tcp://198.51.100.7:43000"]
    assert [way["url"] for way in outs["endpoints"]] == ways
    assert [way["url"] for way in refreshed(outs, SEEN)["endpoints"]] == ways
    assert node_diff(outs, INPUTS, frozenset()) == {}
    changed = {**INPUTS, "tls": {"port": 8000, "pem": OTHER}}
    assert [str(kind) for kind in node_diff(outs, changed, frozenset()).values()] != []
    assert all("REPLACE" in kind.name for kind in node_diff(outs, changed, frozenset()).values())


# The probe.


@contextmanager
def serving(pem: str) -> Iterator[tuple[int, list[bytes]]]:
    """A server with this certificate, or without one; its port, and what clients sent it."""
    sent: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    context = None
    if pem:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)

    def serve() -> None:
        while True:
            try:
                plug, _ = listener.accept()
            except OSError:
                return
            try:
                if context is not None:
                    plug = context.wrap_socket(plug, server_side=True)
                sent.append(plug.recv(65_536))
                plug.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
            except OSError:
                pass
            finally:
                plug.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], sent
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(60)


def asked(port: int, pem: str) -> tuple[bool, str]:
    node = replace(SEEN, endpoints=(Endpoint(8000, "http", f"http://127.0.0.1:{port}"),))
    certificate = certificate_of(pem) if pem else ""
    headers = {"authorization": "Bearer canary-probe-key"}
    found = probe(node, Readiness("http", 8000, "/health", headers, timeout_s=60, certificate=certificate))
    return found.ok, found.detail


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "node.pem"
    path.write_text(TEXT)
    return str(path)


def test_the_probe_trusts_this_certificate_alone(file: str) -> None:
    with serving(file) as (port, sent):
        assert asked(port, PEM) == (True, "")
        assert len(sent) == 1
        ok, detail = asked(port, OTHER)
        assert not ok and "shows another certificate than it was given" in detail
        ok, detail = asked(port, "")  # plain http at a port that speaks TLS
        assert not ok and "does not answer" in detail
        assert all(b"canary" not in each for each in sent[1:])
    with serving("") as (port, sent):
        ok, detail = asked(port, PEM)
        assert not ok and "does not answer" in detail
        assert all(b"canary" not in each for each in sent)
