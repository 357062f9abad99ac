"""Service accounts, workspaces and the guard of a server, in front of a server in memory."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dynamic_providers.sky_pilot_cluster import SkyPilotClusterProvider
from dynamic_providers.sky_pilot_guard import SkyPilotGuardProvider
from dynamic_providers.sky_pilot_service_account import SkyPilotServiceAccountProvider
from dynamic_providers.sky_pilot_workspace import SkyPilotWorkspaceProvider
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.errors import ConflictError, GpuCloudError, ValidationError
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from gpu_clouds.skypilot.connection import BearerToken, SkyPilotConnection
from tests.unit.dynamic_providers.conftest import told
from tests.unit.dynamic_providers.memory_cloud import STACK
from tests.unit.dynamic_providers.sky_server import StackSky, TestClock, provider_of
from tests.unit.skypilot.cloud.sky import ENDPOINT

NAME = f"gp-p-{STACK}-acme"


@pytest.fixture
def sky() -> StackSky:
    return StackSky(TestClock())


@pytest.fixture(autouse=True)
def by_address(monkeypatch: pytest.MonkeyPatch, sky: StackSky) -> None:
    """A server that is named by its address is the one in memory too."""

    def connect(account: Any, **more: Any) -> GpuCloud:
        auth = BearerToken.fixed(account.api_key) if account.api_key else None
        connection = SkyPilotConnection(account.endpoint, auth=auth, clock=sky.clock, name=account.name)
        client = SkyPilotClient(connection, transport=httpx.MockTransport(sky.answer))
        return SkyPilotCloud(client, account.name)

    monkeypatch.setattr("dynamic_providers.sky_pilot_servers.connect", connect)


# -- service accounts


@pytest.fixture
def accounts(sky: StackSky) -> SkyPilotServiceAccountProvider:
    return provider_of(SkyPilotServiceAccountProvider, sky)


def account(**more: Any) -> dict[str, Any]:
    return {"stackId": STACK, "account": "acme", "credentials": "main", **more}


def made(accounts: SkyPilotServiceAccountProvider, **more: Any) -> dict[str, Any]:
    outs = accounts.create(account(**more)).outs
    assert outs is not None
    return dict(outs)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"account": "Acme"}, "account"),
        ({"stackId": "x"}, "stackId"),
        ({"expiresInDays": 0}, "expiresInDays"),
    ],
)
def test_mistakes_of_accounts(accounts: SkyPilotServiceAccountProvider, change: dict[str, Any], where: str):
    assert [place for place, _ in told(accounts.check({}, account(**change)))] == [where]


def test_a_server_without_accounts_is_told_at_preview(accounts: SkyPilotServiceAccountProvider):
    ((place, text),) = told(accounts.check({}, account()))
    assert place == "account" and "ENABLE_SERVICE_ACCOUNTS" in text


def test_an_account_and_its_token(accounts: SkyPilotServiceAccountProvider, sky: StackSky):
    outs = made(accounts, role="admin", expiresInDays=30)
    (token,) = sky.tokens
    assert token["token_name"] == outs["accountName"] == NAME
    assert (token["service_account_roles"], token["expires_in_days"]) == (["admin"], 30)
    assert outs["accountToken"] == "sky_id1_1" and outs["accountId"] == "sa-1"
    assert "accountToken" in accounts.secret_outputs
    news = account(role="admin", expiresInDays=30)
    assert not accounts.diff("id1", outs, news).changes
    assert accounts.read("id1", outs).outs == outs


@pytest.mark.parametrize("lost", ["answer", "state"])
def test_a_token_that_nobody_saw_is_replaced(
    accounts: SkyPilotServiceAccountProvider, sky: StackSky, lost: str
):
    sky.lose_token = lost == "answer"
    outs = made(accounts)
    if lost == "state":
        outs = made(accounts, role="admin")
        assert sky.tokens[0]["service_account_roles"] == ["admin"]
    assert len(sky.tokens) == 1 and outs["accountToken"] == "sky_id1_2" and outs["accountId"] == "sa-1"


@pytest.mark.parametrize("change", [{"rotation": "2"}, {"expiresInDays": 5}])
def test_rotation(accounts: SkyPilotServiceAccountProvider, sky: StackSky, change: dict[str, Any]):
    outs = made(accounts)
    assert accounts.diff("id1", outs, account(**change)).replaces == []
    assert "accountToken" not in accounts.update_preview("id1", outs, account(**change))
    new = accounts.update("id1", outs, account(**change)).outs
    assert new is not None and new["accountToken"] == "sky_id1_2" and "sky_id1_1" in sky.revoked
    assert sky.tokens[0]["expires_in_days"] == change.get("expiresInDays", 0)


def test_another_role_keeps_the_token(accounts: SkyPilotServiceAccountProvider, sky: StackSky):
    outs = made(accounts)
    new = accounts.update("id1", outs, account(role="admin")).outs
    assert new is not None and new["accountToken"] == outs["accountToken"]
    assert sky.tokens[0]["service_account_roles"] == ["admin"]


def test_a_token_that_ended_elsewhere_is_seen_and_made_anew(
    accounts: SkyPilotServiceAccountProvider, sky: StackSky
):
    outs = made(accounts)
    sky.revoked.add(outs["accountToken"])
    read = accounts.read("id1", outs)
    assert read.outs is not None and read.outs["valid"] is False
    assert accounts.diff("id1", read.outs, account()).detailed == {"valid": "update"}
    new = accounts.update("id1", read.outs, account()).outs
    assert new is not None and new["valid"] is True and new["accountToken"] == "sky_id1_2"


def test_an_account_that_is_gone(accounts: SkyPilotServiceAccountProvider, sky: StackSky):
    outs = made(accounts)
    sky.tokens.clear()
    assert accounts.read("id1", outs).id == ""
    new = accounts.update("id1", outs, account(rotation="2")).outs
    assert new is not None and new["accountToken"] == "sky_id1_1" and len(sky.tokens) == 1
    accounts.delete("id1", new)
    accounts.delete("id1", new)
    assert sky.tokens == []


def test_another_name_is_another_account(accounts: SkyPilotServiceAccountProvider):
    outs = made(accounts)
    assert accounts.diff("id1", outs, account(account="other")).replaces == ["account"]
    with pytest.raises(ValidationError, match="can't be imported"):
        accounts.read("id1", {})


# -- workspaces


@pytest.fixture
def workspaces(sky: StackSky) -> SkyPilotWorkspaceProvider:
    return provider_of(SkyPilotWorkspaceProvider, sky)


def workspace(**more: Any) -> dict[str, Any]:
    return {"stackId": STACK, "workspace": "acme", "credentials": "main", **more}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"workspace": "Acme"}, "workspace"),
        ({"allowedUsers": ["x"]}, "allowedUsers"),
        ({"clouds": {"private": {}}}, "clouds.private"),
    ],
)
def test_mistakes_of_workspaces(workspaces: SkyPilotWorkspaceProvider, change: dict[str, Any], where: str):
    assert [place for place, _ in told(workspaces.check({}, workspace(**change)))] == [where]


def test_the_life_of_a_workspace(workspaces: SkyPilotWorkspaceProvider, sky: StackSky):
    props = workspace(private=True, allowedUsers=["sa-1"], clouds={"aws": {"disabled": True}})
    assert workspaces.create_preview(props) == {"workspaceName": NAME}
    outs = workspaces.create(props).outs
    assert outs is not None and outs["workspaceName"] == NAME
    assert sky.workspaces[NAME] == {"private": True, "allowed_users": ["sa-1"], "aws": {"disabled": True}}
    assert workspaces.read(NAME, outs).outs == outs
    sky.workspaces[NAME]["allowed_users"] = ["sa-1", "mallory"]
    read = workspaces.read(NAME, outs)
    assert read.inputs is not None and read.inputs["allowedUsers"] == ["sa-1", "mallory"]
    new = workspaces.update(NAME, read.outs or {}, workspace()).outs
    assert new is not None and sky.workspaces[NAME] == {"private": False}
    for _ in range(2):
        workspaces.delete(NAME, new)
        assert NAME not in sky.workspaces
    assert workspaces.read(NAME, new).id == ""


def test_a_workspace_with_clusters_in_it_stays(workspaces: SkyPilotWorkspaceProvider, sky: StackSky):
    outs = workspaces.create(workspace()).outs
    assert outs is not None
    sky.records["theirs"] = {"name": "theirs", "workspace": NAME, "labels": {}}
    sky.records["other"] = {"name": "other", "workspace": "default", "labels": {}}
    with pytest.raises(ConflictError, match=f"workspace {NAME} has clusters in it .theirs."):
        workspaces.delete(NAME, outs)
    assert NAME in sky.workspaces


# -- the guard of a server of the same run


@pytest.fixture
def guard(sky: StackSky) -> SkyPilotGuardProvider:
    return provider_of(SkyPilotGuardProvider, sky)


def guarding(**more: Any) -> dict[str, Any]:
    return {"stackId": STACK, "endpoint": ENDPOINT, "clusters": ["train"], **more}


def test_the_guard_ends_what_a_killed_run_has_launched(guard: SkyPilotGuardProvider, sky: StackSky):
    clusters = provider_of(SkyPilotClusterProvider, sky)
    for node in ("train", "lost"):
        clusters.create({"guard": STACK, "node": node, "endpoint": ENDPOINT})
    sky.records["mine"] = {**sky.records[next(iter(sky.records))], "name": "mine"}
    sky.machines["mine"] = "running"
    result = guard.create(guarding())
    assert result.id == STACK
    read = guard.read(STACK, result.outs or {})
    (orphan,) = (read.outs or {})["orphans"]
    assert orphan["reason"] == "not declared" and orphan["name"].startswith(f"gp-p-{STACK}-lost-")
    next_run = provider_of(SkyPilotGuardProvider, sky)
    next_run.delete(STACK, result.outs or {})
    assert list(sky.records) == ["mine"]


def test_the_guard_stays_while_its_server_is_away(guard: SkyPilotGuardProvider, sky: StackSky):
    outs = guard.create(guarding()).outs
    assert outs is not None
    sky.away = True
    with pytest.raises(GpuCloudError):
        guard.delete(STACK, outs)


def test_mistakes_and_changes_of_a_guard(guard: SkyPilotGuardProvider):
    assert [place for place, _ in told(guard.check({}, guarding(clusters=["A"])))] == ["clusters[0]"]
    outs = guard.create(guarding()).outs or {}
    assert guard.diff(STACK, outs, guarding(stackId="othertst")).replaces == ["stackId"]
    changed = guarding(clusters=["train", "b"], endpoint="http://127.0.0.1:2")
    assert guard.diff(STACK, outs, changed).replaces == []
    assert guard.update(STACK, outs, changed).outs == {**changed, "orphans": []}
