"""Credentials, against a real server that asks for them: one clear error, and never a storm of requests."""

from __future__ import annotations

import time

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import BasicAuth, BearerToken, SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError
from tests.peers.conftest import PATIENT, Guarded


def connect(guarded: Guarded, auth: BasicAuth | BearerToken | None) -> SkyPilotClient:
    return SkyPilotClient(SkyPilotConnection(guarded.url, auth=auth, settings=PATIENT))


@pytest.fixture
def token(admin, request):
    """A token of a tenant that is not an administrator, deleted after the test."""
    made = admin.create_service_account_token(f"tenant-{request.node.name[:20]}", role="user")
    yield made
    if made.token_id in {each.token_id for each in admin.service_account_tokens()}:
        admin.delete_service_account_token(made.token_id)


def refused(guarded: Guarded, client: SkyPilotClient, *secrets: str) -> ApiError:
    """The one error of a call, which must have been made at most twice, at once."""
    before, begin = len(guarded.proxy.seen), time.monotonic()
    with pytest.raises(ApiError) as error:
        client.status()
    took = time.monotonic() - begin
    asked = guarded.proxy.seen[before:]
    assert 1 <= len(asked) <= 2, asked
    assert {status for _, _, status in asked} == {401}
    assert took < 5.0, "a refusal is not waited for"
    text = f"{error.value} {error.value!r}"
    assert not [secret for secret in secrets if secret in text]
    assert "\n" not in str(error.value)
    assert error.value.is_unauthorized
    assert error.value.status_code == 401
    return error.value


def test_everybody_may_ask_for_health_and_nobody_for_more(guarded):
    with connect(guarded, None) as client:
        assert client.health().basic_auth_enabled
        refused(guarded, client)


def test_basic_authentication(guarded, admin):
    assert admin.status() == []
    assert admin.current_user().name == guarded.admin.user
    with connect(guarded, BasicAuth(guarded.admin.user, "not-the-password")) as client:
        refused(guarded, client, "not-the-password")


@pytest.mark.parametrize("wrong", ["sky_eyJhbGciOiJIUzI1NiJ9.e30.d3Jvbmc", "of-another-kind"])
def test_a_wrong_token(guarded, wrong):
    with connect(guarded, BearerToken.fixed(wrong)) as client:
        refused(guarded, client, wrong)


def test_a_token_works_until_it_is_revoked(guarded, admin, token):
    with connect(guarded, BearerToken.fixed(token.token)) as client:
        assert client.status() == []
        assert admin.service_account_roles(token.token_id) == ["user"]
        admin.delete_service_account_token(token.token_id)
        refused(guarded, client, token.token)


def test_a_rotated_token_is_taken_up_without_a_restart(guarded, admin, token, tmp_path):
    file = tmp_path / "token"
    file.write_text(token.token)
    with (
        connect(guarded, BearerToken.from_file(file)) as follows,
        connect(guarded, BearerToken.fixed(token.token)) as stays,
    ):
        assert follows.status() == stays.status() == []
        new = admin.rotate_service_account_token(token.token_id)
        assert new.token != token.token
        refused(guarded, stays, token.token)
        file.write_text(new.token)
        before = len(guarded.proxy.seen)
        assert follows.status() == []
        statuses = [status for _, _, status in guarded.proxy.seen[before:]]
        assert statuses.count(401) == 1, "the old token is tried once, then the file is read again"


def test_a_tenant_is_no_administrator(guarded, admin, token):
    with connect(guarded, BearerToken.fixed(token.token)) as client:
        assert client.current_user().role == "user"
        with pytest.raises(ApiError) as error:
            client.create_workspace("mine", {})
        assert not error.value.is_unauthorized, "the token is fine, the right is missing"
    assert "mine" not in admin.workspaces()


def test_a_tenant_has_a_workspace_of_its_own(guarded, admin, token):
    admin.create_workspace("tenant-a", {"private": True, "allowed_users": [token.service_account_user_id]})
    try:
        with connect(guarded, BearerToken.fixed(token.token)) as client:
            assert "tenant-a" in client.workspaces()
        other = admin.create_service_account_token("tenant-other", role="user")
        with connect(guarded, BearerToken.fixed(other.token)) as stranger:
            assert "tenant-a" not in stranger.workspaces()
        admin.delete_service_account_token(other.token_id)
    finally:
        admin.delete_workspace("tenant-a")
    assert "tenant-a" not in admin.workspaces()
