from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.errors import ValidationError
from gpu_clouds.redaction import redact
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import BasicAuth, BearerToken, SkyPilotConnection, user_id_of
from gpu_clouds.skypilot.http import client_options
from gpu_clouds.skypilot.settings import SkyPilotSettings


@pytest.mark.parametrize(
    ("endpoint", "allow_insecure", "accepted"),
    [
        ("https://sky.example.com", False, "https://sky.example.com"),
        ("https://sky.example.com/prefix/", False, "https://sky.example.com/prefix"),
        ("http://127.0.0.1:46580", False, "http://127.0.0.1:46580"),
        ("http://localhost:46580/", False, "http://localhost:46580"),
        ("http://[::1]:46580", False, "http://[::1]:46580"),
        ("http://sky.example.com", True, "http://sky.example.com"),
        ("https://sky.example.com", True, "https://sky.example.com"),
    ],
)
def test_endpoints_that_are_accepted(endpoint: str, allow_insecure: bool, accepted: str) -> None:
    assert SkyPilotConnection(endpoint, allow_insecure=allow_insecure).endpoint == accepted


@pytest.mark.parametrize(
    ("endpoint", "allow_insecure", "why"),
    [
        ("http://sky.example.com", False, "allowInsecure"),
        ("http://10.0.0.8:46580", False, "plain http"),
        ("http://127.0.0.1.example.com", False, "plain http"),
        ("", False, "https://"),
        ("sky.example.com", False, "https://"),
        ("ftp://sky.example.com", True, "https://"),
        ("https://user:canary-password@sky.example.com", False, "user name"),
        ("http://user:canary-password@sky.example.com", True, "user name"),
        ("https://sky.example.com?x=1", False, "query"),
        ("https://sky.example.com:port", False, "not a URL"),
    ],
)
def test_endpoints_that_are_refused(endpoint: str, allow_insecure: bool, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as caught:
        SkyPilotConnection(endpoint, allow_insecure=allow_insecure)
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=40))
def test_a_user_id_is_eight_hexadecimal_digits_and_stable(name: str) -> None:
    assert re.fullmatch("[0-9a-f]{8}", user_id_of(name))
    assert user_id_of(name) == user_id_of(name)


@pytest.mark.parametrize("user_id", ["abc", "ABCD1234", "abcd12345", "abcd123g", "abcd 123"])
def test_a_bad_user_id_is_refused(user_id: str) -> None:
    with pytest.raises(ValidationError, match="user id"):
        SkyPilotConnection("https://sky.example.com", user_id=user_id)


def test_the_user_id_comes_from_the_user_name() -> None:
    first = SkyPilotConnection("https://sky.example.com", user_name="stack-a")
    assert first.user_id == user_id_of("stack-a") != user_id_of("stack-b")


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"ca\.pem is not there"):
        SkyPilotConnection("https://sky.example.com", ca_file=str(tmp_path / "ca.pem"))


def test_a_ca_file_without_certificates_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    subject = SkyPilotConnection("https://sky.example.com", ca_file=str(tmp_path / "ca.pem"))
    with pytest.raises(ValidationError, match=r"ca\.pem holds no certificates"):
        client_options(subject, http2=False)


def test_keys_stand_in_no_repr() -> None:
    for auth in (BearerToken.fixed("canary-token-value"), BasicAuth("me", "canary-password-value")):
        shown = repr(SkyPilotConnection("https://sky.example.com", auth=auth))
        assert "canary" not in shown
        assert "canary" not in repr(auth)


def test_a_password_is_removed_from_all_text_in_both_of_its_forms() -> None:
    auth = BasicAuth("me", "canary-password-42")
    encoded = base64.b64encode(b"me:canary-password-42").decode()
    assert "canary" not in redact("got canary-password-42")
    assert encoded not in redact(f"got {encoded}")
    assert auth.header() == f"Basic {encoded}"


@pytest.mark.parametrize("user", ["", "a:b"])
def test_a_user_name_that_basic_authentication_can_not_carry(user: str) -> None:
    with pytest.raises(ValidationError, match="user name"):
        BasicAuth(user, "secret-1")


@pytest.mark.parametrize("token", ["", "  ", "two words", "line\nbreak", "schlüssel", "tab\there"])
def test_a_token_that_can_not_be_sent(token: str) -> None:
    with pytest.raises(ValidationError, match="service-account token") as caught:
        BearerToken.fixed(token).token()
    assert not token.strip() or token not in str(caught.value)


def test_sources_of_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text("sky_from-file\n")
    assert BearerToken.from_file(file).token() == "sky_from-file"
    file.write_text("sky_rotated-in-file\n")
    assert BearerToken.from_file(file).token() == "sky_rotated-in-file"
    monkeypatch.setenv("SKYPILOT_SERVICE_ACCOUNT_TOKEN", "sky_from-environment")
    assert BearerToken.from_environment().token() == "sky_from-environment"
    with pytest.raises(ValidationError, match="can not be read: FileNotFoundError"):
        BearerToken.from_file(tmp_path / "absent").token()


def test_a_connection_from_the_environment() -> None:
    settings = SkyPilotSettings(api_server_url="https://sky.example.com", service_account_token="sky_t0ken-x")
    found = SkyPilotConnection.from_settings(settings)
    assert isinstance(found.auth, BearerToken)
    assert found.auth.token() == "sky_t0ken-x"
    assert SkyPilotConnection.from_settings(SkyPilotSettings("https://sky.example.com")).auth is None
    with pytest.raises(ValidationError, match="SKYPILOT_API_SERVER_URL is not set"):
        SkyPilotConnection.from_settings(SkyPilotSettings())


def test_http_2_is_for_tls_alone_and_connections_are_kept() -> None:
    remote = client_options(SkyPilotConnection("https://sky.example.com"), http2=True)
    local = client_options(SkyPilotConnection("http://127.0.0.1:46580"), http2=True)
    assert (remote["http2"], local["http2"]) == (True, False)
    assert client_options(SkyPilotConnection("https://sky.example.com"), http2=False)["http2"] is False
    limits = remote["limits"]
    assert (limits.max_keepalive_connections, limits.keepalive_expiry) == (100, 90.0)
    assert (remote["trust_env"], local["trust_env"]) == (True, False)


def test_making_a_client_sends_nothing() -> None:
    with SkyPilotClient(SkyPilotConnection("http://127.0.0.1:9")) as subject:
        assert subject.connection.local
