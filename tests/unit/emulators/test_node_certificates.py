"""What an emulated node's server finds as its certificate, read from what would be run."""

from __future__ import annotations

import base64

import pytest

from emulators.node_tls import NO_SERVER, served_certificate
from emulators.paperspace.script import certificate_of, published_ports, served_model

BOTH = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\ny\n"
ENV = {"PEM": base64.b64encode(BOTH.encode()).decode(), "OTHER": base64.b64encode(b"text").decode()}
WRITES = 'mkdir -p /a && (umask 077; printf %s "$PEM" | base64 -d > /a/tls.pem) && exec "$@"'
OPTIONS = ["--ssl-keyfile", "/a/tls.pem", "--ssl-certfile=/a/tls.pem"]


@pytest.mark.parametrize(
    ("script", "words", "mounts", "found"),
    [
        (WRITES, ["--model", "m"], None, ""),
        ("", [], None, ""),
        (WRITES, OPTIONS, None, BOTH),
        ("", OPTIONS, None, NO_SERVER),
        (WRITES, OPTIONS[:2], None, NO_SERVER),
        (WRITES.replace("PEM", "OTHER"), OPTIONS, None, NO_SERVER),
        (WRITES.replace("PEM", "NOT_SET"), OPTIONS, None, NO_SERVER),
        (WRITES, OPTIONS, {}, NO_SERVER),
        (WRITES.replace("/a/", "/b/"), OPTIONS, {"/a/tls.pem": "/b/tls.pem"}, BOTH),
    ],
)
def test_the_file_has_to_be_there(
    script: str, words: list[str], mounts: dict[str, str] | None, found: str
) -> None:
    assert served_certificate(script, ENV, words, mounts) == found


def test_a_machine_mounts_it_into_its_container() -> None:
    run = "docker run --publish 8000:8000 --publish 9:9 --volume /b/tls.pem:/a/tls.pem:ro vllm:1 --model m "
    script = "\n".join(["#!/bin/bash", WRITES.replace("/a/", "/b/"), run + " ".join(OPTIONS)])
    assert certificate_of(script, ENV) == BOTH
    assert certificate_of(script.replace("--volume /b/tls.pem:/a/tls.pem:ro ", ""), ENV) == NO_SERVER
    assert published_ports(script) == [8000, 9]
    assert served_model(script) == "m"
    assert certificate_of("#!/bin/bash\ntrue\n", ENV) == ""
