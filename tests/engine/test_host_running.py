"""How the host runs operations: at once, with a time-out, cancellable, and never longer than its engine."""

from __future__ import annotations

import time

from tests.engine.conftest import NewToyStack
from tests.engine.harness import wait_until

IMPORTS = "import pulumi\nfrom toys.provider import Toy\n"


def test_24_creates_of_one_second_run_at_once(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "for i in range(24): Toy(f'n{i}', mode='slow', seconds=1)\n")
    stack.up().expect_ok()
    begun, ended = stack.calls("create"), stack.calls("created")
    assert len(begun) == len(ended) == 24
    assert max(call["at"] for call in begun) < min(call["at"] for call in ended)
    assert max(call["at"] for call in ended) - min(call["at"] for call in begun) < 3
    assert len({call["pid"] for call in begun}) == 1
    assert len(stack.calls("configure")) == 1


def test_providers_see_time_out_urn_and_the_real_stack_name(toys: NewToyStack) -> None:
    stack = toys(
        IMPORTS
        + "times = pulumi.CustomTimeouts(create='90s', update='2m', delete='30s')\n"
        + "mode = pulumi.Config().get('mode') or 'ok'\n"
        + "Toy('a', mode=mode, opts=pulumi.ResourceOptions(custom_timeouts=times))\n"
        + "Toy('b')\n"
    )
    stack.up().expect_ok()
    stack.set_config({"mode": "other"})
    stack.up().expect_ok()
    stack.destroy().expect_ok()

    def seen(event: str) -> dict[str, float | None]:
        return {call["urn"].rpartition("::")[2]: call["timeout_s"] for call in stack.calls(event)}

    assert seen("create") == {"a": 90, "b": None}
    assert seen("update") == {"a": 120}
    assert seen("delete") == {"a": 30, "b": None}
    for call in stack.calls("create"):
        assert call["urn"].startswith("urn:pulumi:test::gpuplane::pulumi-python:dynamic/toy:Toy::")
        assert (call["stack"], call["project"]) == ("test", "gpuplane")
        assert call["hosted"] is True
        assert call["preview"] is False


def test_interrupt_ends_a_create_with_its_own_clean_up(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "for i in range(3): Toy(f'n{i}', mode='wait-for-cancel')\n")
    run = stack.start_operation("up")
    wait_until(lambda: len(stack.calls("create")) == 3, 30, "three creates begun")
    interrupted = time.monotonic()
    run.interrupt()
    result = run.wait()
    assert time.monotonic() - interrupted < 3
    cleaned = stack.calls("cleaned up")
    assert len(cleaned) == 3
    assert max(call["at"] for call in cleaned) - interrupted < 1
    assert not result.ok
    assert "error: RuntimeError: cancelled: what was launched is deleted" in result.output
    assert stack.pending_operations() == []
    assert stack.resources() == {}


def test_the_cancel_at_the_normal_end_of_a_run_reaches_no_operation(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a')\n")
    # A preview, an update and a refresh by one command: every part ends with a Cancel of its own.
    stack.run("up", "--yes", "--non-interactive", "--stack", "test").expect_ok()
    stack.run("destroy", "--refresh", "--yes", "--non-interactive", "--stack", "test").expect_ok()
    seen = {call["event"] for call in stack.calls()}
    assert {"create_preview", "create", "read", "delete"} <= seen
    assert not any(call["cancelled"] for call in stack.calls())


def test_host_ends_with_a_killed_engine(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('talks', mode='print-for-ever')\nToy('waits', mode='wait-for-cancel')\n")
    run = stack.start_operation("up")
    wait_until(lambda: len(stack.calls("tick")) > 3, 30, "both creates run")
    assert run.host_pids()
    killed = time.monotonic()
    run.kill_engine()
    wait_until(lambda: not run.hosts_alive(), 5, "the host ended")
    assert time.monotonic() - killed < 1
    assert stack.calls("tick")[-1]["at"] - killed < 1
    # Neither create was told to clean up: what they would delete may be another run's by then.
    assert stack.calls("cleaned up") == []
    assert {pending["type"] for pending in stack.pending_operations()} == {"creating"}
    stack.cancel().expect_ok()


def test_a_writing_call_is_stopped_before_it_is_sent_once_the_engine_is_gone(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a', mode='write-in-a-tight-loop')\n")
    run = stack.start_operation("up")
    wait_until(lambda: len(stack.calls("written")) > 3, 30, "the create writes")
    run.host_pids()
    run.kill_engine()
    killed = time.monotonic()
    wait_until(lambda: not run.hosts_alive(), 5, "the host ended")
    assert all(call["at"] < killed for call in stack.calls("written"))


def test_killed_host_is_an_error_and_leaves_no_pending_operation(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a', mode='wait-for-cancel')\n")
    run = stack.start_operation("up")
    wait_until(lambda: stack.calls("create"), 30, "the create runs")
    run.kill_host()
    assert not run.wait().ok
    assert stack.pending_operations() == []


def test_what_providers_print_appears_at_their_resource(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a', mode='chatty')\n")
    result = stack.up().expect_ok()
    said = [
        (message["message"].strip(), message.get("ephemeral", False))
        for message in result.diagnostics("dynamic/toy:Toy::a")
    ]
    assert said == [
        ("printed to stdout", False),
        ("written to stderr", False),
        ("info: logged", False),
        ("phase one", True),
        ("kept for a", False),
    ]
    assert "from a child process" in result.output


def test_with_the_sdk_s_own_host_a_stack_still_works(toys: NewToyStack) -> None:
    stack = toys(IMPORTS + "Toy('a', mode=pulumi.Config().get('mode') or 'chatty')\n", host="stock")
    stack.up().expect_ok()
    stack.set_config({"mode": "other"})
    assert stack.up().expect_ok().ops() == {"a": "update"}
    stack.refresh().expect_ok()
    for call in stack.calls("create") + stack.calls("update"):
        assert (call["hosted"], call["preview"], call["timeout_s"]) == (False, False, None)
    # And a stack moves from one host to the other without a change.
    stack.use_host("ours")
    assert stack.up().expect_ok().ops() == {"a": "same"}
    stack.use_host("stock")
    stack.destroy().expect_ok()
    assert stack.resources() == {}
