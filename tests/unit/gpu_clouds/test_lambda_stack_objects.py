"""Keys and rulesets of a stack, the client against the emulated Lambda."""

from __future__ import annotations

import json
import stat
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from emulators.lambda_cloud.settings import SECOND_KEY
from gpu_clouds import errors
from gpu_clouds.cloud import OwnsStackObjects
from gpu_clouds.ending import Ender
from gpu_clouds.intents import IntentLog
from gpu_clouds.lambda_cloud.ssh_key import key_file, own_public_key
from gpu_clouds.models import InstanceState, InstanceTemplate
from tests.unit.gpu_clouds.lambda_harness import (
    SPEC,
    STACK,
    TEMPLATE,
    EmulatedLambda,
    call,
    lambda_cloud,
)

OWN = replace(SPEC, template=InstanceTemplate(image="i", ports=("8000/http", "22/tcp")))
SOURCES = ("203.0.113.0/24", "198.51.100.7")


def test_a_stack_without_keys_gets_a_pair_of_its_own(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    cloud, _ = emulated.connect()
    made = cloud.create(OWN)
    private = key_file(tmp_path, STACK)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700
    assert "PRIVATE KEY" in private.read_text()
    (name,) = emulated.account()["ssh_keys"]
    assert name.startswith(f"gp-p-{STACK}-ssh-")
    cloud.create(replace(OWN, name=f"gp-p-{STACK}-web-1-1a2b3c4d"))
    emulated.connect()[0].create(replace(OWN, name=f"gp-p-{STACK}-web-2-1a2b3c4d"))
    assert emulated.account()["ssh_keys"] == [name]
    assert cloud.get(made.id).state is InstanceState.PENDING


def test_the_pair_is_made_once_whoever_asks(tmp_path: Path) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(own_public_key(tmp_path, STACK))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert found[0].startswith("ssh-ed25519 ")


def test_a_key_that_the_customer_has_registered_is_used_and_left_alone(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    call(emulated.cloud, "POST", "/ssh-keys", b'{"name": "laptop", "public_key": "ssh-ed25519 AAAA other"}')
    cloud, _ = emulated.connect()
    cloud.create(SPEC)
    other = key_file(tmp_path, STACK).with_name("known_hosts")
    own_public_key(tmp_path, STACK)
    other.touch()
    cloud.delete_stack_objects("p", STACK)
    assert other.exists()
    assert emulated.account()["ssh_keys"] == ["laptop"]
    assert not key_file(tmp_path, STACK).exists()


def test_nobody_is_let_in_unless_named(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    emulated.connect()[0].create(SPEC)
    assert emulated.account()["firewall_rulesets"] == []


def test_the_allowed_sources_get_to_the_ports_of_the_node_and_no_others(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path, enforce_firewall=True)
    before = emulated.account()["firewall_rules"]
    cloud, wire = emulated.connect(allowed_sources=SOURCES)
    cloud.create(OWN)
    cloud.create(replace(OWN, name=f"gp-p-{STACK}-web-1-1a2b3c4d"))
    (ruleset,) = _rulesets(emulated)
    assert ruleset["name"].startswith(f"gp-p-{STACK}-fw-")
    assert len(ruleset["instance_ids"]) == 2
    rules = {(rule["source_network"], *rule["port_range"]) for rule in ruleset["rules"]}
    assert rules == {
        (f"{one}", port, port) for one in ("203.0.113.0/24", "198.51.100.7/32") for port in (22, 8000)
    }
    assert emulated.account()["firewall_rules"] == before
    assert not [sent for sent in wire.sent if "firewall-rules" in sent and "firewall-rulesets" not in sent]


def test_other_sources_reach_the_rulesets_that_are_there(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    emulated.connect(allowed_sources=SOURCES)[0].create(OWN)
    other, wire = emulated.connect(allowed_sources=("192.0.2.1",))
    other.create(replace(OWN, name=f"gp-p-{STACK}-web-1-1a2b3c4d"))
    (ruleset,) = _rulesets(emulated)
    assert {rule["source_network"] for rule in ruleset["rules"]} == {"192.0.2.1/32"}
    assert sum(sent.startswith("PATCH /firewall-rulesets/") for sent in wire.sent) == 1


@pytest.mark.parametrize("source", ["everybody", "203.0.113.1/24", "2001:db8::/32", ""])
def test_a_source_is_an_ipv4_network(source: str) -> None:
    with pytest.raises(errors.ValidationError, match="allowedSources takes IPv4 networks"):
        lambda_cloud(lambda request: None, allowed_sources=(source,))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("kind", ["error_after", "cut_after", "error"])
@pytest.mark.parametrize("path", ["/api/v1/ssh-keys", "/api/v1/firewall-rulesets"])
def test_an_unanswered_registration_is_looked_up_and_made_once(tmp_path: Path, kind: str, path: str) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    cloud, _ = emulated.connect(allowed_sources=SOURCES)
    emulated.fault(kind, count=1, method="POST", path=path)
    if kind == "error":
        with pytest.raises(errors.AmbiguousError):
            cloud.create(OWN)
    cloud.create(OWN)
    assert len(emulated.account()["ssh_keys"]) == len(_rulesets(emulated)) == 1


def test_a_key_that_somebody_deleted_is_registered_again(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    cloud, _ = emulated.connect()
    cloud.create(SPEC)
    emulated.connect()[0].delete_stack_objects("p", STACK)
    with pytest.raises(errors.ValidationError, match="SSH key does not exist"):
        cloud.create(SPEC)
    cloud.create(SPEC)
    assert len(emulated.account()["ssh_keys"]) == 1


def test_only_what_is_the_stacks_own_is_deleted(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    names = [
        "customers",
        f"gp-p-{STACK}-ssh-customers",
        f"gp-o-{STACK}-ssh-0123456789ab",
        "gp-p-zzzz9999-ssh-0123456789ab",
        f"gp-p-{STACK}-ssh-0123456789ab",
    ]
    for index, name in enumerate(names):
        body = f'{{"name": "{name}", "public_key": "ssh-ed25519 AAA{index} x"}}'
        call(emulated.cloud, "POST", "/ssh-keys", body.encode())
        ruleset = f'{{"name": "{name.replace("ssh", "fw")}", "region": "us-east-1", "rules": []}}'
        call(emulated.cloud, "POST", "/firewall-rulesets", ruleset.encode())
    emulated.connect()[0].delete_stack_objects("p", STACK)
    assert emulated.account()["ssh_keys"] == names[:-1]
    assert emulated.account()["firewall_rulesets"] == [name.replace("ssh", "fw") for name in names[:-1]]


def test_the_end_of_a_stack_leaves_nothing(tmp_path: Path) -> None:
    """Rulesets stay in use for a while after the last node: the end waits for that."""
    emulated = EmulatedLambda.start(tmp_path, fs_in_use_lag_s=40)
    cloud, _ = emulated.connect(allowed_sources=SOURCES)
    assert isinstance(cloud, OwnsStackObjects)
    for index in range(3):
        cloud.create(replace(OWN, name=f"gp-p-{STACK}-web-{index}-1a2b3c4d"))
    foreign = replace(OWN, name="gp-p-zzzz9999-web-0-1a2b3c4d")
    cloud.create(foreign)
    ender = Ender(emulated.clock, None, lambda text: None, lambda: None)
    ended = ender.end_all({"main": cloud}, "p", STACK, IntentLog(STACK, tmp_path, emulated.clock))
    assert len(ended) == 3
    assert [one.name for one in cloud.list("gp-p-") if one.state is InstanceState.PENDING] == [foreign.name]
    left = emulated.account()
    assert [name.rpartition("-")[0] for name in left["ssh_keys"]] == ["gp-p-zzzz9999-ssh"]
    assert [name.rpartition("-")[0] for name in left["firewall_rulesets"]] == ["gp-p-zzzz9999-fw"]
    assert not key_file(tmp_path, STACK).parent.exists()
    assert key_file(tmp_path, "zzzz9999").exists()


def test_a_ruleset_that_stays_in_use_is_named_at_the_deadline(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path, fs_in_use_lag_s=4000)
    cloud, _ = emulated.connect(allowed_sources=SOURCES)
    cloud.create(OWN)
    ender = Ender(emulated.clock, None, lambda text: None, lambda: None)
    with pytest.raises(errors.ConflictError, match=r"no node of this stack is left .* in use"):
        ender.end_all({"main": cloud}, "p", STACK, IntentLog(STACK, tmp_path, emulated.clock))
    assert emulated.account()["ssh_keys"] == []


def test_two_accounts_of_a_stack_share_the_pair_and_not_the_objects(tmp_path: Path) -> None:
    emulated = EmulatedLambda.start(tmp_path)
    for key in ("emulator-key", SECOND_KEY):
        emulated.connect(key)[0].create(OWN)
    assert emulated.account("default")["ssh_keys"] == emulated.account("second")["ssh_keys"]
    emulated.connect(SECOND_KEY)[0].delete_stack_objects("p", STACK)
    assert len(emulated.account("default")["ssh_keys"]) == 1


@pytest.mark.parametrize(
    "key", ["nonsense", "ssh-ed25519", "ssh-ed25519 AAAA a\nssh-ed25519 BBBB b", "ssh-ed25519 Ä"]
)
def test_a_key_that_is_none_is_refused(tmp_path: Path, key: str) -> None:
    cloud, wire = EmulatedLambda.start(tmp_path).connect()
    with pytest.raises(errors.ValidationError, match="public SSH key"):
        cloud.create(replace(SPEC, template=replace(TEMPLATE, ssh_public_keys=(key,))))
    assert wire.sent == []


def test_without_ssh_keygen_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.ValidationError, match="give sshPublicKeys, or install OpenSSH"):
        own_public_key(tmp_path, STACK)


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / STACK).write_text("a file in the way")
    with pytest.raises(errors.ValidationError, match="GPUPLANE_STATE_DIR"):
        own_public_key(tmp_path, STACK)


def _rulesets(emulated: EmulatedLambda) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(call(emulated.cloud, "GET", "/firewall-rulesets").body)["data"]
    return found
