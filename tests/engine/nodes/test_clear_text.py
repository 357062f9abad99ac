"""A key in clear text is refused before anything of it reaches the state."""

from __future__ import annotations

import json
from typing import Any

from tests.engine.nodes.conftest import NewWorld
from tests.engine.nodes.world import World, cluster, upstream_key

COMMAND = "pulumi config set --secret --path gpuplane:"


def main_account(**key: str) -> dict[str, Any]:
    return {"main": {"cloud": "runpod", "endpoint": "emulator", **key}}


def refused(world: World, *keys: str, arguments: tuple[str, ...] = ()) -> None:
    before = world.stack.resources()
    result = world.stack.start_operation("up", *arguments).wait()
    assert not result.ok, result.output
    assert [key for key in keys if f"gpuplane:{key}: is in clear text" not in result.output] == [], (
        result.output
    )
    assert result.output.count(COMMAND) >= len(keys)
    assert "Traceback" not in result.output
    assert world.stack.resources() == before
    assert world.writes() == [], result.output


def test_keys_in_clear_text_are_refused_and_accepted_once_they_are_secure(new_world: NewWorld) -> None:
    world = new_world(clusters={"chat": cluster(1, apiKey=upstream_key())})
    world.change("credentials", main_account(apiKey=world.key))
    refused(world, "credentials.main.apiKey", "clusters.chat.apiKey")
    assert world.key not in json.dumps(world.stack.export_state())

    # The commands of the message are what helps.
    world.set_secret("credentials.main.apiKey", world.key)
    refused(world, "clusters.chat.apiKey")
    world.set_secret("clusters.chat.apiKey", upstream_key())
    world.stack.up().expect_ok()
    assert len(world.pods()) == 1
    world.stack.destroy().expect_ok()
    state = json.dumps(world.stack.export_state())
    assert world.key not in state
    assert upstream_key() not in state


def test_a_key_beside_one_that_is_secure(new_world: NewWorld) -> None:
    world = new_world(credentials={**main_account(), "old": {"cloud": "runpod", "apiKey": "canary-old"}})
    world.set_secret("credentials.main.apiKey", world.key)
    refused(world, "credentials.old.apiKey")


def test_a_key_on_the_command_line(new_world: NewWorld) -> None:
    world = new_world(credentials=main_account())
    world.set_secret("credentials.main.apiKey", world.key)
    text = json.dumps(main_account(apiKey=world.key))
    refused(world, "credentials.main.apiKey", arguments=("--config", f"gpuplane:credentials={text}"))
