"""The policy "a LeakGuard wherever GPU nodes are", called directly."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi_policy import StackValidationArgs

from policies.costs import CLUSTER, NODE
from policies.leak_guard import GUARD, SERVER_GUARD, validate


def resource(name: str, kind: str, depends: tuple[Any, ...] = (), by_property: tuple[Any, ...] = ()) -> Any:
    return SimpleNamespace(
        name=name,
        urn=f"urn:{name}",
        resource_type=kind,
        props={},
        parent=None,
        dependencies=list(depends),
        property_dependencies={"guard": list(by_property)},
    )


def reported(*resources: Any) -> list[tuple[str, str | None]]:
    found: list[tuple[str, str | None]] = []

    def report(message: str, urn: str | None = None) -> None:
        found.append((message, urn))

    validate(StackValidationArgs(list(resources)), report)
    return found


guard = resource("guard", GUARD)


def test_a_node_by_itself_is_named() -> None:
    ((message, urn),) = reported(resource("chat-0", NODE))
    assert "chat-0" in message and urn == "urn:chat-0"


def test_a_guard_beside_a_node_is_not_enough() -> None:
    assert [urn for _, urn in reported(guard, resource("chat-0", NODE))] == ["urn:chat-0"]


@pytest.mark.parametrize("by", ["depends", "by_property"])
def test_either_kind_of_dependency_will_do(by: str) -> None:
    assert reported(guard, resource("chat-0", NODE, **{by: (guard,)})) == []


@given(st.lists(st.sampled_from(["bare", "guarded", "other"]), max_size=8))
def test_the_bare_nodes_are_one_finding(kinds: list[str]) -> None:
    made = {
        "bare": lambda name: resource(name, NODE, depends=(resource("x", "other:x:X"),)),
        "guarded": lambda name: resource(name, NODE, by_property=(guard,)),
        "other": lambda name: resource(name, "other:x:X"),
    }
    resources = [made[kind](f"{kind}-{index}") for index, kind in enumerate(kinds)]
    bare = [item.urn for item in resources if item.name.startswith("bare")]
    found = reported(*resources)
    assert [urn for _, urn in found] == bare[:1]
    assert ("and" in "".join(message.splitlines()[0] for message, _ in found)) == (len(bare) > 1)


@pytest.mark.parametrize("kind", [GUARD, SERVER_GUARD])
def test_a_cluster_hangs_on_either_guard(kind: str) -> None:
    guarding = resource("guard", kind)
    assert reported(guarding, resource("train", CLUSTER, by_property=(guarding,))) == []
    ((message, _),) = reported(guarding, resource("train", CLUSTER))
    assert "'train' without a dependency on a LeakGuard or a SkyPilotGuard" in message


def test_a_node_does_not_hang_on_the_guard_of_a_server() -> None:
    assert len(reported(resource("chat-0", NODE, by_property=(resource("guard", SERVER_GUARD),)))) == 1
