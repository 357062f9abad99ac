"""A tenant of a server that asks for credentials, through the real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.connection import Auth, BasicAuth, BearerToken, SkyPilotConnection
from gpu_clouds.skypilot.errors import ApiError
from tests.engine.harness import STACK
from tests.peers.conftest import Guarded
from tests.peers.stacks import PeerStack

STACK_ID = "peertnnt"
NAME = f"gp-p-{STACK_ID}-acme"


def token_of(world: PeerStack) -> str:
    """The tenant's token, as whoever may read the state's secrets sees it."""
    shown = world.stack.run("stack", "output", "--json", "--show-secrets", "--stack", STACK).expect_ok()
    return str(json.loads(shown.output)["skypilotTenants"]["acme"]["token"])


def test_a_tenant_from_account_to_end(tmp_path: Path, guarded: Guarded):
    check_a_tenant(tmp_path, guarded.url, guarded.admin)


def check_a_tenant(tmp_path: Path, url: str, admin: BasicAuth) -> None:
    def client(auth: Auth) -> SkyPilotClient:
        return SkyPilotClient(SkyPilotConnection(url, auth=auth))

    lab = {"cloud": "skypilot", "endpoint": url, "user": admin.user, "apiKeyEnv": "TEST_SKYPILOT_PASSWORD"}
    world = PeerStack(
        tmp_path,
        STACK_ID,
        {"credentials": {"lab": lab}, "skypilotTenants": {"acme": {"server": "lab", "rotation": "1"}}},
    )
    world.stack.env["TEST_SKYPILOT_PASSWORD"] = admin.password
    world.run("up").expect_ok()
    first = token_of(world)
    as_admin, as_tenant = client(admin), client(BearerToken.fixed(first))
    assert as_tenant.current_user().name == NAME and as_tenant.current_user().role == "user"
    (account,) = [each for each in as_admin.service_account_tokens() if each.token_name == NAME]
    settings = as_admin.workspaces()[NAME]
    assert settings["private"] is True and settings["allowed_users"] == [account.service_account_user_id]
    assert NAME in as_tenant.workspaces()

    # Rotated: the old token ends at once, the account and its workspace stay.
    world.config["skypilotTenants"]["acme"]["rotation"] = "2"
    world.stack.set_config({"skypilotTenants": world.config["skypilotTenants"]})
    assert world.run("up").expect_ok().ops()["acme-account"] == "update"
    second = token_of(world)
    assert second != first
    with pytest.raises(ApiError) as refused:
        as_tenant.current_user()
    assert refused.value.is_unauthorized
    assert client(BearerToken.fixed(second)).current_user().id == account.service_account_user_id

    # Rotated by somebody else: a refresh sees it, an up heals it.
    as_admin.rotate_service_account_token(account.token_id)
    assert "is not accepted any more" in world.run("refresh").expect_ok().output
    world.run("up").expect_ok()
    assert client(BearerToken.fixed(token_of(world))).current_user().name == NAME

    world.run("destroy").expect_ok()
    assert NAME not in as_admin.workspaces()
    assert NAME not in [each.token_name for each in as_admin.service_account_tokens()]
    text = world.stack.state_text()
    assert not [secret for secret in (first, second, admin.password) if secret in text]
