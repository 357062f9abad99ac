"""A server behind TLS on 127.0.0.1: whom the client trusts, and which version of HTTP it speaks."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import SkyPilotConnection
from gpu_clouds.skypilot.errors import ConnectionFailedError
from tests.unit.gpu_clouds.harness import FakeClock

BODY = b'{"status": "healthy", "version": "0.14.1"}'


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sky")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"


@contextmanager
def serving(certificate: tuple[Path, Path], protocols: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Its address, and the protocol of each connection that was made."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(protocols)
    listener = socket.create_server(("127.0.0.1", 0))
    agreed: list[str] = []

    def accept() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            plain.settimeout(30)
            try:
                with context.wrap_socket(plain, server_side=True) as connection:
                    agreed.append(connection.selected_alpn_protocol() or "")
                    _speak_h2(connection) if agreed[-1] == "h2" else _speak_h1(connection)
            except OSError:
                continue

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}", agreed
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(30)


def _speak_h1(connection: ssl.SSLSocket) -> None:
    while connection.recv(65536):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


def _speak_h2(connection: ssl.SSLSocket) -> None:
    state = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    state.initiate_connection()
    connection.sendall(state.data_to_send())
    while data := connection.recv(65536):
        for event in state.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                assert event.stream_id is not None
                state.send_headers(event.stream_id, [(":status", "200")])
                state.send_data(event.stream_id, BODY, end_stream=True)
        connection.sendall(state.data_to_send())


@pytest.mark.parametrize(("offered", "spoken"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")])
def test_http_2_is_spoken_where_it_is_offered(
    certificate: tuple[Path, Path], offered: list[str], spoken: str
) -> None:
    with serving(certificate, offered) as (address, agreed):
        with SkyPilotClient(SkyPilotConnection(address, ca_file=str(certificate[0]))) as subject:
            for _ in range(3):
                assert subject.health().version == "0.14.1"
        assert agreed == [spoken]  # one connection, kept


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: tuple[Path, Path]) -> None:
    with (
        serving(certificate, ["http/1.1"]) as (address, _),
        SkyPilotClient(SkyPilotConnection(address, clock=FakeClock())) as subject,
        pytest.raises(ConnectionFailedError, match="CERTIFICATE_VERIFY_FAILED") as caught,
    ):
        subject.health()
    assert not caught.value.sent
