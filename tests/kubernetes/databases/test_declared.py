"""Managed databases by mocks: inputs have the SDK's types and keep the known rules, and nothing is open."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from components.postgres_service import PostgresService, PostgresServiceArgs
from components.redis_service import RedisService, RedisServiceArgs
from stack_config import load
from tests.kubernetes.components.declared import Declared, declare
from tests.unit.components.databases.test_wrong_databases import GOOD, GOOD_REDIS

# The SDKs say so of themselves when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.* has been deprecated in favor of:DeprecationWarning")

KEYS = {"azure-native:redisenterprise:listDatabaseKeys": {"primaryKey": "k", "secondaryKey": "k2"}}
MANAGED = [
    *(("postgres", target) for target in ("rds", "cloud_sql", "azure")),
    *(("redis", target) for target in ("elasticache", "memorystore", "azure")),
]


def built(engine: str, target: str, preview: bool = False, **changes: Any) -> Declared:
    good = GOOD if engine == "postgres" else GOOD_REDIS
    section = "postgresServices" if engine == "postgres" else "redisServices"
    config = load({"stackId": "teststck", section: {"main": {**good[target], **changes}}}, "dev")

    def build() -> pulumi.ComponentResource:
        if engine == "postgres":
            args = PostgresServiceArgs(server=config.postgres_services["main"], stack_id="teststck")
            return PostgresService("main", args)
        return RedisService(
            "main", RedisServiceArgs(server=config.redis_services["main"], stack_id="teststck")
        )

    return declare(build, "url", "host", "estimated_hourly", preview=preview, calls=KEYS)


@pytest.mark.parametrize("preview", [False, True], ids=["up", "preview"])
@pytest.mark.parametrize("available", [False, True], ids=["one", "two"])
@pytest.mark.parametrize(("engine", "target"), [*MANAGED, ("postgres", "external"), ("redis", "external")])
def test_inputs_keep_the_rules_and_the_url_is_secret(
    engine: str, target: str, available: bool, preview: bool
) -> None:
    changes = {"highAvailability": True} if available and target != "external" else {}
    found = built(engine, target, preview, **changes)
    assert found.findings == []
    assert "url" in found.secrets
    assert found.outputs["estimated_hourly"]["hourlyUsd"] == "unknown"
    for (kind, name), told in found.options.items():
        assert kind == "pulumi:pulumi:Stack" or name == "main" or told.parent, name


def protected(found: Declared, kind: str, name: str = "main") -> bool:
    return bool(found.told(kind, name).protect)


@pytest.mark.parametrize("protection", [True, False])
def test_rds(protection: bool) -> None:
    found = built("postgres", "rds", deletionProtection=protection, highAvailability=True)
    made = found.one("Instance", "main")
    assert made["publiclyAccessible"] is False
    assert made["storageEncrypted"] is True
    assert made["multiAz"] is True
    assert made["deletionProtection"] is protection
    assert made["skipFinalSnapshot"] is False
    assert made["finalSnapshotIdentifier"].startswith("main-teststck-last-")
    assert made["backupRetentionPeriod"] == 7
    settings = found.one("ParameterGroup", "main-parameters")["parameters"]
    assert [(each["name"], each["value"]) for each in settings] == [("rds.force_ssl", "1")]
    (rule,) = found.of("SecurityGroupIngressRule").values()
    assert (rule["fromPort"], rule["toPort"], rule["referencedSecurityGroupId"]) == (5432, 5432, "sg-0a1b")
    assert found.one("SecurityGroup", "main-way-in")["egress"] == []
    assert found.outputs["url"].endswith(":5432/app?sslmode=require")


@pytest.mark.parametrize("protection", [True, False])
def test_elasticache(protection: bool) -> None:
    found = built("redis", "elasticache", deletionProtection=protection)
    made = found.one("ReplicationGroup", "main")
    assert made["atRestEncryptionEnabled"] is made["transitEncryptionEnabled"] is True
    assert made["transitEncryptionMode"] == "required"
    assert made["snapshotRetentionLimit"] == 7
    assert protected(found, "ReplicationGroup") is protection
    assert found.outputs["url"].startswith("rediss://:")


@pytest.mark.parametrize("protection", [True, False])
def test_cloud_sql(protection: bool) -> None:
    found = built("postgres", "cloud_sql", deletionProtection=protection)
    made = found.one("DatabaseInstance", "main")
    assert made["deletionProtection"] is made["settings"]["deletionProtectionEnabled"] is protection
    way = made["settings"]["ipConfiguration"]
    assert (way["ipv4Enabled"], way["sslMode"]) == (False, "ENCRYPTED_ONLY")
    assert way["privateNetwork"] == "projects/p/global/networks/n"
    backup = made["settings"]["backupConfiguration"]
    assert backup["enabled"] is backup["pointInTimeRecoveryEnabled"] is True
    assert backup["backupRetentionSettings"]["retainedBackups"] == 7
    assert "name" not in made, "Google keeps a name for a week after its end"


def test_a_network_is_connected_where_that_is_asked_for() -> None:
    google = {**GOOD["cloud_sql"]["google"], "connectNetwork": True}
    found = built("postgres", "cloud_sql", google=google)
    assert found.one("GlobalAddress", "main-range")["purpose"] == "VPC_PEERING"
    assert found.one("Connection", "main-connection")["service"] == "servicenetworking.googleapis.com"
    assert "Connection" not in built("postgres", "cloud_sql").types()


@pytest.mark.parametrize("protection", [True, False])
def test_memorystore(protection: bool) -> None:
    made = built("redis", "memorystore", deletionProtection=protection).one("Instance", "main")
    assert made["authEnabled"] is True
    assert made["transitEncryptionMode"] == "SERVER_AUTHENTICATION"
    assert made["connectMode"] == "PRIVATE_SERVICE_ACCESS"
    assert made["deletionProtection"] is protection


@pytest.mark.parametrize("protection", [True, False])
def test_flexible_server(protection: bool) -> None:
    found = built("postgres", "azure", deletionProtection=protection)
    made = found.one("Server", "main")
    assert made["network"]["publicNetworkAccess"] == "Disabled"
    assert made["backup"]["backupRetentionDays"] == 7
    assert protected(found, "Server") is protection
    assert found.one("Configuration", "main-tls")["value"] == "on"


@pytest.mark.parametrize("protection", [True, False])
def test_managed_redis(protection: bool) -> None:
    found = built("redis", "azure", deletionProtection=protection)
    made = found.one("RedisEnterprise", "main")
    assert made["publicNetworkAccess"] == "Disabled"
    assert made["minimumTlsVersion"] == "1.2"
    assert protected(found, "RedisEnterprise") is protection
    database = found.one("Database", "main-database")
    assert database["clientProtocol"] == "Encrypted"
    assert found.outputs["url"].startswith("rediss://:k@")


@pytest.mark.parametrize(("engine", "target"), MANAGED)
def test_a_password_is_given_as_a_secret(engine: str, target: str) -> None:
    found = built(engine, target)
    for key in ("password", "authToken", "administratorLoginPassword"):
        for inputs in found.inputs.values():
            if key in inputs:
                # By this key the engine knows a secret.
                assert "4dabf18193072939515e22adb298388d" in json.dumps(inputs[key])


def test_a_wrong_database_registers_nothing() -> None:
    with pytest.raises(pulumi.RunError, match=r"main.storageGb: RDS has at least 20 GB"):
        built("postgres", "rds", storageGb=5)
