"""Nodes that speak TLS themselves behind the gateway, in the real engine: Paperspace and Vast.ai."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import socket
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.engine.gateway.conftest import NewSite
from tests.engine.gateway.site import MODEL, Site
from tests.engine.nodes.world import CANARY, Emulator, cluster

CERTIFICATE = "pulumi-python:dynamic/gateway:NodeCertificate"
CLOUDS = ("paperspace", "vast")
KEY = f"{CANARY}-key-of-both-clouds"


@pytest.fixture
def open_clouds(emulator: Emulator) -> Iterator[Emulator]:
    """Both clouds with ports that are really open, and an account for these tests."""
    for cloud in CLOUDS:
        keys = {KEY: {"account": "tls"}}
        emulator.control("PATCH", f"{cloud}/settings", {"keys": keys, "real_ports": True})
    yield emulator
    for cloud in CLOUDS:
        emulator.control("PATCH", f"{cloud}/settings", {"real_ports": False})


@pytest.fixture
def tls_site(open_clouds: Emulator, new_site: NewSite) -> Site:
    """A gateway in front of a node on each cloud."""
    port = quiet_port()
    clusters = {
        "paper": served("paperspace", "RTX-A4000", port),
        "other": served("vast", "RTX4090", 8000),
    }
    site = new_site({"clusters": {name: {"tls": True} for name in clusters}}, **clusters)
    site.stack.env["TEST_OPEN_KEY"] = KEY
    paths = {"paperspace": "/paperspace/v1", "vast": "/vast/api"}
    for cloud, path in paths.items():
        address = {"cloud": cloud, "endpoint": open_clouds.origin + path, "apiKeyEnv": "TEST_OPEN_KEY"}
        site.world.change(f"credentials.{cloud}", address)
    return site


def served(cloud: str, gpu: str, port: int) -> dict[str, Any]:
    """A cluster of one node."""
    group = {"cloud": cloud, "credentials": cloud, "gpus": [gpu]}
    return cluster(args=f"--model {MODEL}", candidates=[group], ports=[f"{port}/http"])


def test_nodes_speak_tls_with_a_certificate_of_the_stack(tls_site: Site) -> None:
    site = tls_site
    site.stack.up().expect_ok()
    made = certificates(site)
    assert sorted(made) == ["gateway-tls-other-0", "gateway-tls-paper-0"]
    table = site.table()
    for name in ("paper-0", "other-0"):
        url, shown = table[name]["url"], shown_by(table[name]["url"])
        assert url.startswith("https://127.0.0.1:")
        assert url == site.world.outputs(name)["endpoints"][0]["url"]
        assert hashlib.sha256(shown).hexdigest() == table[name]["tlsSha256"] == made[f"gateway-tls-{name}"][1]
        assert table[name]["state"] == "healthy"
        # It answers nobody without the key, and nobody over plain http.
        assert asked(url, "") == asked(url, "sk-wrong") == 401
        cluster_name = name.removesuffix("-0")
        assert asked(url, site.secrets()[f"gateway-upstream-{cluster_name}"]) == 200
        with pytest.raises((urllib.error.URLError, OSError)):
            urllib.request.urlopen(url.replace("https:", "http:") + "/health", timeout=30)
    key = site.key()
    assert site.chat(key) and site.chat(key)

    again = site.stack.up("--refresh").expect_ok()
    assert set(again.ops().values()) <= {"same", "refresh"}, again.ops()
    assert set(site.stack.preview().expect_ok().ops().values()) == {"same"}

    # A node that is replaced gets another key and certificate; the other node keeps its own.
    site.world.change("clusters.other.replaceTrigger", "2")
    replaced = site.stack.up().expect_ok()
    changed = {name: op for name, op in replaced.ops().items() if op != "same"}
    assert sorted(changed) == ["gateway-other-0", "gateway-tls-other-0", "other-0"], changed
    assert all("replace" in op for op in changed.values()), changed
    after = certificates(site)
    assert after["gateway-tls-paper-0"] == made["gateway-tls-paper-0"]
    assert after["gateway-tls-other-0"][0] != made["gateway-tls-other-0"][0]
    table = site.table()
    assert table["other-0"]["tlsSha256"] == after["gateway-tls-other-0"][1]
    assert {node["state"] for node in table.values()} == {"healthy"}
    assert site.chat(key) and site.chat(key)

    secrets = [*site.secrets().values(), key]
    for pem, _ in (*made.values(), *after.values()):
        private = base64.b64decode(pem).decode().partition("-----END")[0].splitlines()
        secrets += [pem, *private[1:]]
    site.stack.destroy().expect_ok()
    written = site.world.files() + site.world.emulator.log()
    assert not [secret for secret in (*secrets, CANARY) if secret in written]
    assert "Traceback" not in written
    assert site.stack.resources() == {}


def test_without_tls_such_a_cluster_is_refused_in_one_line(tls_site: Site) -> None:
    site = tls_site
    site.world.change("controlPlane.clusters.paper", {"tls": False})
    site.world.change("credentials.paperspace", {"cloud": "paperspace", "apiKeyEnv": "TEST_OPEN_KEY"})
    preview = site.stack.preview()
    assert not preview.ok
    assert "are reached over plain http at a public address" in preview.output
    assert "controlPlane.allowPlainHttp: true" in preview.output
    assert "Traceback" not in preview.output


def quiet_port() -> int:
    """A free port that no connection gets by chance before the node has it: the system gives higher ones."""
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def certificates(site: Site) -> dict[str, tuple[str, str]]:
    """Name -> key and certificate in base64, and the fingerprint, of each node."""
    found = {}
    for name, outputs in site.made(CERTIFICATE).items():
        value = outputs["pem"]
        found[name] = (json.loads(value["plaintext"]), outputs["sha256"])
    return found


def shown_by(url: str) -> bytes:
    """The certificate that a server shows."""
    address = urlsplit(url)
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((address.hostname or "", address.port or 0)))


def asked(url: str, key: str) -> int:
    """Status of a request to a node, whatever its certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    request = urllib.request.Request(f"{url}/v1/models")
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
