"""What every cloud must do: its client against its emulator, in this process and without sockets.

A cloud's test file gives a `World` and inherits all tests:

    class TestRunPod(CloudContract):
        @pytest.fixture
        def world(self, tmp_path): ...
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest

from emulators.clock import EmulatedClock
from emulators.cloud import EmulatedCloud, Frame
from emulators.faults import Faults
from emulators.http import Request, Response
from emulators.store import open_database
from gpu_clouds.cloud import GpuCloud
from gpu_clouds.connection import Connection
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.errors import AuthError, CapacityError, ValidationError
from gpu_clouds.models import Candidate, CapacityType, Instance, InstanceSpec, InstanceState, InstanceTemplate
from tests.unit.gpu_clouds.harness import FakeClock

START = 1_795_248_000.0
ENDPOINT = "http://127.0.0.1:9"
PREFIX = "gp-p-abcd1234-"
LONGEST = f"{PREFIX}{'n' * 24}-0a1b2c3d"
DEADLINE_S = 3600.0


class Direct(httpx.BaseTransport):
    """Hands requests to an emulated cloud instead of the network."""

    def __init__(self, emulated: EmulatedCloud) -> None:
        self.emulated = emulated

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = Request(
            request.method,
            request.url.path,
            dict(request.url.params),
            {name.lower(): value for name, value in request.headers.items()},
            request.read(),
        )
        self.emulated.settle()
        answer = asyncio.run(self.emulated.handle(asked))
        assert isinstance(answer, Response), "streams are tested over sockets"
        return httpx.Response(
            answer.status,
            headers={"content-type": answer.content_type, **answer.headers},
            content=answer.body,
        )


@dataclass(slots=True)
class World:
    """A cloud and its emulator.

    Attributes:
        connect: Connects with a key.
        key: A key that the emulator accepts.
        frame: Holds the emulated clock, which stands still but for `advance`.
        candidate: Something that the emulator has free.
        template: What runs on it.
        sell_out: Takes the candidate's last machine away.
    """

    connect: Callable[[str], GpuCloud]
    key: str
    frame: Frame
    candidate: Candidate
    sell_out: Callable[[], None]
    template: InstanceTemplate = field(
        default_factory=lambda: InstanceTemplate(
            image="vllm/vllm-openai:v0.11.0", ports=("8000/http",), env={"TOKEN": "canary-of-the-node"}
        )
    )

    @property
    def cloud(self) -> GpuCloud:
        """Connected with the good key."""
        return self.connect(self.key)

    def create(self, name: str = f"{PREFIX}life-0-0a1b2c3d") -> Instance:
        return self.cloud.create(InstanceSpec(name, self.candidate, self.template))

    def until(self, instance_id: str, *states: InstanceState) -> Instance:
        """Moves time until the node is in one of these states."""
        waited = 0.0
        while (seen := self.cloud.get(instance_id)).state not in states:
            assert waited < DEADLINE_S, f"never {' or '.join(states)}: {seen}"
            self.frame.advance(5)
            waited += 5
        return seen


def frame(kinds: frozenset[str] = frozenset()) -> Frame:
    """What emulated clouds share, in memory, with a clock that stands still."""
    clock = EmulatedClock(0, start=START, real_time=lambda: 0.0)
    return Frame(clock, Faults(kinds), open_database(None))


def connection(cloud: str, key: str, state_dir: Path, endpoint: str = ENDPOINT) -> Connection:
    """What a cloud is connected with."""
    return Connection(
        credentials=CredentialSet("main", cloud, key, endpoint, f"{ENDPOINT}/proxy/{{id}}-{{port}}"),
        endpoint=endpoint,
        clock=FakeClock(),
        cancel=threading.Event(),
        may_send=lambda: None,
        state_dir=state_dir,
    )


class CloudContract:
    """Tests that every cloud inherits."""

    def test_the_account_is_read(self, world: World) -> None:
        status = world.cloud.account()
        assert status.balance_usd is None or status.balance_usd > 0

    def test_a_bad_key_is_an_error_of_its_own(self, world: World) -> None:
        with pytest.raises(AuthError) as caught:
            world.connect("a-key-that-nobody-has").account()
        assert "a-key-that-nobody-has" not in str(caught.value)

    def test_offers_come_in_the_order_asked_and_leave_out_what_is_not_sold(self, world: World) -> None:
        unknown = replace(world.candidate, gpu="NoSuchGPU")
        foreign = replace(world.candidate, cloud="elsewhere")
        (offer,) = world.cloud.offers([unknown, world.candidate, foreign])
        assert offer.candidate == world.candidate
        assert (offer.hourly_usd is not None) == world.cloud.capabilities.price_before_create

    def test_a_life(self, world: World) -> None:
        made = world.create()
        assert made.name == f"{PREFIX}life-0-0a1b2c3d"
        ready = world.until(made.id, InstanceState.READY)
        assert ready.cloud == world.candidate.cloud
        assert (ready.gpu, ready.gpu_count) == (world.candidate.gpu, world.candidate.gpu_count)
        assert ready.endpoints or ready.ssh
        assert [each.id for each in world.cloud.list(PREFIX)] == [made.id]
        world.cloud.delete(made.id)
        world.until(made.id, InstanceState.GONE, InstanceState.DELETING)

    def test_the_price_is_the_one_that_was_offered(self, world: World) -> None:
        (offer,) = world.cloud.offers([world.candidate])
        seen = world.until(world.create().id, InstanceState.READY)
        if offer.hourly_usd is not None and seen.hourly_usd is not None:
            assert seen.hourly_usd == pytest.approx(offer.hourly_usd, rel=0.01)

    def test_a_listing_shows_all_names_with_the_prefix_and_no_others(self, world: World) -> None:
        mine = {world.create(f"{PREFIX}n{index}-0a1b2c3d").id for index in range(3)}
        world.create("gp-p-zzzz9999-n0-0a1b2c3d")
        world.create("somebody-elses")
        assert {each.id for each in world.cloud.list(PREFIX)} == mine

    def test_the_longest_marker_is_kept_whole(self, world: World) -> None:
        made = world.create(LONGEST)
        assert [each.name for each in world.cloud.list(PREFIX)] == [LONGEST]
        assert world.cloud.get(made.id).name == LONGEST

    def test_what_does_not_exist_is_gone_and_its_end_a_success(self, world: World) -> None:
        world.create()
        assert world.cloud.get("no-such-node").state is InstanceState.GONE
        world.cloud.delete("no-such-node")

    def test_a_second_delete_is_a_success(self, world: World) -> None:
        made = world.create()
        world.cloud.delete(made.id)
        world.cloud.delete(made.id)

    def test_no_free_machine_is_a_capacity_error_and_makes_nothing(self, world: World) -> None:
        world.sell_out()
        with pytest.raises(CapacityError):
            world.create()
        assert world.cloud.list(PREFIX) == []

    def test_what_the_cloud_can_not_do_is_refused_before_anything_is_sent(self, world: World) -> None:
        if not world.cloud.capabilities.spot:
            spec = InstanceSpec(LONGEST, replace(world.candidate, capacity=CapacityType.SPOT), world.template)
            with pytest.raises(ValidationError):
                world.cloud.create(spec)
        else:
            self.check_spot(world)
        if not world.cloud.capabilities.stop:
            made = world.create()
            with pytest.raises(ValidationError):
                world.cloud.stop(made.id)

    def check_spot(self, world: World) -> None:
        """Spot is offered below the price on demand, costs what was offered, and a low bid makes nothing."""
        spot = replace(world.candidate, capacity=CapacityType.SPOT)
        demand, offer = world.cloud.offers([world.candidate, spot])
        assert demand.hourly_usd is not None and offer.hourly_usd is not None
        assert offer.hourly_usd < demand.hourly_usd
        made = world.cloud.create(InstanceSpec(LONGEST, spot, world.template))
        ready = world.until(made.id, InstanceState.READY)
        assert ready.hourly_usd == pytest.approx(offer.hourly_usd, rel=0.01)
        with pytest.raises(CapacityError):
            world.cloud.create(InstanceSpec(LONGEST, replace(spot, bid_per_gpu_usd=0.001), world.template))
        assert [one.id for one in world.cloud.list(PREFIX)] == [made.id]

    def test_no_secret_of_a_node_is_in_an_instance_or_an_error(self, world: World) -> None:
        made = world.create()
        assert "canary-of-the-node" not in repr(made) + repr(world.cloud.get(made.id))
        world.sell_out()
        with pytest.raises(CapacityError) as caught:
            world.create()
        assert "canary-of-the-node" not in str(caught.value)
