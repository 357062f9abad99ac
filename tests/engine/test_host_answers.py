"""What the host's answers do in the engine: previews, diffs, partial state, import, secrets, errors."""

from __future__ import annotations

from typing import Any

import pytest

from tests.engine.conftest import NewToyStack
from tests.engine.harness import Result

IMPORTS = "import pulumi\nfrom toys.provider import Toy\n"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
CANARY = "canary-1f0e77"


# -- previews


def test_preview_shows_what_is_known_and_writes_nothing(toys: NewToyStack) -> None:
    stack = toys(
        IMPORTS
        + "first = Toy('first', spec={'disk': pulumi.Config().get_int('disk') or 50})\n"
        + "second = Toy('second', peer=first.address)\n"
        + "pulumi.export('price', first.price)\n"
        + "pulumi.export('address', first.address)\n"
        + "pulumi.export('later', second.price)\n"
    )
    preview = stack.preview().expect_ok()
    assert exported(preview) == {"price": 2.49, "address": UNKNOWN, "later": 2.49}
    assert preview.ops() == {"first": "create", "second": "create"}
    assert stack.resources() == {}
    stack.up().expect_ok()
    assert stack.outputs() == {"price": 3, "address": "192.0.2.1", "later": 3}

    stack.set_config({"disk": 60})
    preview = stack.preview().expect_ok()
    assert preview.ops() == {"first": "update", "second": "same"}
    assert exported(preview) == {"price": 3, "address": "192.0.2.1", "later": 3}
    real = [call for call in stack.calls() if call["operation"] in ("create", "update", "delete")]
    assert [call["event"] for call in real if not call["preview"]] == ["create", "created"] * 2
    assert [call["event"] for call in real if call["preview"]] == ["create_preview"] * 2 + ["update_preview"]


def test_preview_of_a_provider_that_foresees_nothing_changes_nothing(toys: NewToyStack) -> None:
    program = (
        "import pulumi\nfrom toys.plain import Plain\n"
        "plain = Plain('a', text=pulumi.Config().get('text') or 'one')\n"
        "pulumi.export('made', plain.made)\n"
    )
    stack = toys(program)
    assert exported(stack.preview().expect_ok()) == {"made": UNKNOWN}
    stack.up().expect_ok()
    stack.set_config({"text": "two"})
    preview = stack.preview().expect_ok()
    assert preview.ops() == {"a": "update"}
    assert exported(preview) == {"made": UNKNOWN}
    assert [call["event"] for call in stack.calls() if call["operation"] != "check"] == ["create"]
    assert stack.up().expect_ok().ops() == {"a": "update"}
    assert stack.outputs() == {"made": "two!"}


# -- diffs


def test_detailed_diff_reaches_the_command_line(toys: NewToyStack) -> None:
    program = IMPORTS + (
        "config = pulumi.Config()\n"
        "toy = Toy('a', spec={'gpu': config.get('gpu') or 'H100', 'disk': config.get_int('disk') or 50})\n"
        "Toy('b', peer=toy.address, other=toy.price)\n"
    )
    stack = toys(program)
    stack.up().expect_ok()
    stack.set_config({"disk": 60})
    preview = stack.preview("--diff").expect_ok()
    assert details(preview, "a", "update") == {"spec.disk": "update"}
    assert "~ disk: 50 => 60" in preview.output
    assert "__provider" not in preview.output

    stack.set_config({"gpu": "H200"})
    preview = stack.preview("--diff").expect_ok()
    assert details(preview, "a", "replace") == {"spec.disk": "update", "spec.gpu": "update-replace"}
    assert 'gpu : "H100" => "H200"' in preview.output
    stack.up().expect_ok()
    # The diff asked for the old one to go first.
    assert [call["event"] for call in stack.calls()[-3:]] == ["delete", "create", "created"]


def test_moved_module_breaks_nothing_and_shows_nothing(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a')\n")
    stack.up().expect_ok()
    (stack.project / "toys").rename(stack.project / "moved")
    registered = stack.project / "dynamic-providers.json"
    registered.write_text(registered.read_text().replace("toys.", "moved."))

    stack.refresh().expect_ok()
    stack.set_program("from moved.provider import Toy\nToy('a')\n")
    preview = stack.preview("--diff").expect_ok()
    assert preview.ops() == {"a": "same"}
    assert "__provider" not in preview.output
    # A real change next to it does not show it either.
    stack.set_program("from moved.provider import Toy\nToy('a', mode='other')\n")
    assert details(stack.up().expect_ok(), "a", "update") == {"mode": "update"}
    stack.destroy().expect_ok()
    assert stack.resources() == {}


# -- partial state and import


def test_a_create_that_fails_half_way_keeps_id_and_outputs(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a', mode=pulumi.Config().get('mode') or 'partial', size=300_000)\n")
    failed = stack.up()
    assert not failed.ok
    assert "launched but not ready" in failed.output
    half = stack.resources()["a"]
    assert half["id"] == "id-half"
    assert half["initErrors"] == ["launched but not ready", "GET /health: refused"]
    assert half["outputs"]["address"] == "192.0.2.1"
    assert len(half["outputs"]["big"]) == 300_000  # far above what a gRPC trailer usually holds
    assert stack.pending_operations() == []

    # Without any change in the program the next `up` updates it.
    assert stack.up().expect_ok().ops() == {"a": "update"}
    assert stack.resources()["a"]["id"] == "id-half"
    assert "initErrors" not in stack.resources()["a"]
    assert stack.up().expect_ok().ops() == {"a": "same"}

    stack.set_config({"mode": "partial-update"})
    assert not stack.up().ok
    assert stack.resources()["a"]["initErrors"] == ["updated by half"]
    assert stack.resources()["a"]["outputs"]["mode"] == "partial-update"
    stack.destroy().expect_ok()
    assert [call["id"] for call in stack.calls("delete")] == ["id-half"]


def test_a_read_may_say_that_a_resource_is_not_as_declared(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a', mode='partial-read')\n")
    stack.up().expect_ok()
    stack.refresh()
    assert stack.resources()["a"]["initErrors"] == ["not healthy any more"]
    assert stack.up().expect_ok().ops() == {"a": "update"}


def test_import_by_option_and_by_command(toys: NewToyStack) -> None:
    stack = toys(
        IMPORTS
        + "toy = Toy('a', opts=pulumi.ResourceOptions(import_='id-a'))\npulumi.export('price', toy.price)\n"
    )
    assert stack.up().expect_ok().ops() == {"a": "import"}
    assert stack.outputs() == {"price": 3}

    token = "pulumi-python:dynamic/toy:Toy"
    stack.import_(token, "b", "id-b", "--generate-code=false").expect_ok()
    assert stack.resources()["b"]["id"] == "id-b"
    stack.set_program(IMPORTS + "toy = Toy('a')\nToy('b', opts=pulumi.ResourceOptions(protect=True))\n")
    assert stack.up().expect_ok().ops() == {"a": "same", "b": "same"}
    assert stack.calls("create") == []

    missing = stack.import_(token, "c", "id-gone", "--generate-code=false")
    assert not missing.ok
    assert "resource 'id-gone' does not exist" in missing.output


def test_refresh_drops_what_is_gone(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('gone')\nToy('b')\n")
    stack.up().expect_ok()
    stack.refresh().expect_ok()
    assert sorted(stack.resources()) == ["b"]


# -- secrets


def test_nothing_secret_is_stored_or_printed_in_plaintext(toys: NewToyStack) -> None:
    stack = toys(
        IMPORTS
        + "config = pulumi.Config()\n"
        + "token = config.require_secret('token')\n"
        + "env = {'TOKEN': token, 'PLAIN': 'visible'}\n"
        + "disk = config.get_int('disk') or 50\n"
        + "toy = Toy('a', env=env, number=pulumi.Output.secret(4711), key=token, spec={'disk': disk})\n"
        + "for mode in ('leaky-print', 'leaky-bug', 'leaky-partial'):\n"
        + "    Toy(mode, mode=mode, env=env, key=token)\n"
        + "pulumi.export('links', toy.links)\npulumi.export('password', toy.password)\n"
    )
    stack.set_secret("token", CANARY)
    first = stack.up("--continue-on-error")
    assert "using [secret] now" in first.output
    assert "error: RuntimeError: 401 for key [secret]" in first.output
    assert "refused for [secret]" in first.output
    assert sorted(stack.resources()) == ["a", "leaky-partial", "leaky-print"]
    stack.set_config({"disk": 60})
    outputs = [first.output, stack.up("--diff").output, stack.refresh("--diff").output]

    toy = stack.resources()["a"]
    assert toy["outputs"]["env"]["PLAIN"] == "visible"
    assert toy["outputs"]["spec"]["disk"] == 60
    for values in (toy["inputs"], toy["outputs"]):
        assert "ciphertext" in values["env"]["TOKEN"]
        assert "ciphertext" in values["number"]
    assert "ciphertext" in toy["outputs"]["links"][0]["url"]  # built from the token
    assert "ciphertext" in toy["outputs"]["password"]  # named by the provider
    assert toy["outputs"]["address"] == "192.0.2.1"
    for text in [*outputs, stack.state_text()]:
        assert CANARY not in text
        assert "generated-password" not in text
    assert "4711" not in stack.state_text()


# -- errors


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("user-error", "no H100 is free in any region of this node class; add a candidate"),
        ("bug", "KeyError: 'spec'"),
        ("exit", "SystemExit: 3"),
        ("bad-input", "has a problem: unknown GPU 'H1000'; nearest: H100"),
    ],
)
def test_errors_are_one_line(toys: NewToyStack, mode: str, message: str) -> None:
    # One at a time: the first refused registration ends the program, whatever should come after it.
    result = toys(IMPORTS + f"Toy({mode!r}, mode={mode!r})\n").up()
    assert not result.ok
    said = [diagnostic["message"].strip() for diagnostic in result.diagnostics(f"Toy::{mode}")]
    assert len(said) == 1
    assert said[0].endswith(message)
    assert len(said[0].splitlines()) == 1
    assert "Traceback" not in result.output
    assert mode != "bad-input" or "property spec.gpu" in result.output


def test_the_traceback_of_a_bug_is_there_on_request(toys: NewToyStack) -> None:
    result = toys(IMPORTS + "Toy('a', mode='bug')\n", env={"LOG_LEVEL": "debug"}).up()
    assert not result.ok
    assert "Traceback" in result.output
    assert 'raise KeyError("spec")' in result.output


def test_an_unregistered_provider_is_found_in_its_pickle(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a')\n")
    (stack.project / "dynamic-providers.json").unlink()
    stack.up().expect_ok()
    stack.destroy().expect_ok()
    token = "pulumi-python:dynamic/toy:Toy"
    failed = stack.import_(token, "b", "id-b", "--generate-code=false")
    assert f"no provider is known for {token}: list it in dynamic-providers.json" in failed.output


def exported(result: Result) -> dict[str, Any]:
    """The stack's outputs in the last event that has them, as the program exported them."""
    events = [event["resOutputsEvent"]["metadata"] for event in result.events if "resOutputsEvent" in event]
    stacks = [event["new"] for event in events if event["type"] == "pulumi:pulumi:Stack" and event["new"]]
    return dict(stacks[-1]["outputs"])


def details(result: Result, name: str, op: str) -> dict[str, str]:
    """Property path -> kind of the step `op` of a resource."""
    (step,) = [step for step in result.steps() if step["urn"].endswith(f"::{name}") and step["op"] == op]
    return {path: detail["diffKind"] for path, detail in step["detailedDiff"].items()}
