"""Vast.ai's client: its refusals, bids, offers, states and ports."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from emulators.vast.cloud import BASE, Vast
from emulators.vast.settings import DEFAULT_KEY
from emulators.vast.trouble import FAULT_KINDS
from gpu_clouds import errors
from gpu_clouds.models import (
    Availability,
    Candidate,
    CapacityType,
    InstanceSpec,
    InstanceState,
    InstanceTemplate,
)
from gpu_clouds.vast.cloud import VastCloud
from tests.unit.cloud_contract.suite import ENDPOINT, Direct, connection, frame
from tests.unit.gpu_clouds.harness import FakeClock

NAME = "gp-p-abcd1234-web-0-0a1b2c3d"
SECRET = "canary-of-the-node"
RTX = Candidate("vast", "main", "", "RTX4090")
SPOT = replace(RTX, capacity=CapacityType.SPOT)
TEMPLATE = InstanceTemplate(image="vllm/vllm-openai:v0.11.0", ports=("8000/http",), env={"TOKEN": SECRET})


@dataclass
class Vasts:
    """The emulator, a client, and what was sent."""

    folder: Path
    proxy: str = f"{ENDPOINT}/proxy/{{id}}-{{port}}"
    spoil: Callable[[httpx.Request], httpx.Response | None] = lambda _request: None
    sent: list[tuple[str, str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.frame = frame(FAULT_KINDS)
        self.emulated = Vast(self.frame)
        given = connection("vast", DEFAULT_KEY, self.folder, f"{ENDPOINT}{BASE}")
        given = replace(given, credentials=replace(given.credentials, proxy_template=self.proxy))
        self.clock = FakeClock()
        self.cloud = VastCloud(replace(given, clock=self.clock), _Spy(self))

    def spec(self, candidate: Candidate = RTX, **changes: Any) -> InstanceSpec:
        template = replace(TEMPLATE, **{k: changes.pop(k) for k in list(changes) if hasattr(TEMPLATE, k)})
        return InstanceSpec(NAME, candidate, template, **changes)

    def fault(self, kind: str, **more: Any) -> None:
        self.frame.faults.add({"kind": kind, "count": 1, **more})

    def bodies(self, method: str, path: str) -> list[Any]:
        return [body for verb, where, body in self.sent if verb == method and path in where]

    def answer(self, part: str, status: int, body: object) -> None:
        """From now on, this answer to requests whose path has this part."""
        self.spoil = lambda asked: httpx.Response(status, json=body) if part in asked.url.path else None


class _Spy(Direct):
    def __init__(self, world: Vasts) -> None:
        super().__init__(world.emulated)
        self.world = world

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.read() or b"null")
        self.world.sent.append((request.method, request.url.path, body))
        return self.world.spoil(request) or super().handle_request(request)


@pytest.fixture
def vast(tmp_path: Path) -> Vasts:
    return Vasts(tmp_path)


class TestLaunches:
    def test_the_cheapest_offer_is_rented_with_what_runs_on_it(self, vast: Vasts) -> None:
        made = vast.cloud.create(vast.spec(args="--model 'a b'", ports=("8000/http", "22/tcp"), disk_gb=70))
        (body,) = vast.bodies("PUT", "/asks/7001001")
        assert body == {
            "client_id": "me",
            "image": TEMPLATE.image,
            "disk": 70,
            "label": NAME,
            "env": {"TOKEN": SECRET, "-p 8000:8000": "1", "-p 22:22": "1"},
            "runtype": "args",
            "args": ["--model", "a b"],
        }
        assert (made.region, made.hourly_usd, made.state) == ("SE", 0.35, InstanceState.PENDING)

    def test_a_region_is_a_filter(self, vast: Vasts) -> None:
        made = vast.cloud.create(vast.spec(replace(RTX, region="eu-central")))
        assert made.region == "CZ"
        assert vast.bodies("POST", "/bundles")[0]["geolocation"]["in"][0] == "CZ"

    def test_places_with_bad_machines_come_last(self, vast: Vasts) -> None:
        assert vast.cloud.create(vast.spec(avoid_regions=frozenset({"SE"}))).region == "CZ"

    def test_an_offer_that_is_gone_leads_to_the_next_by_a_launch_of_its_own(self, vast: Vasts) -> None:
        vast.fault("no_capacity")
        with pytest.raises(errors.CapacityError) as caught:
            vast.cloud.create(vast.spec())
        assert caught.value.elsewhere
        assert vast.cloud.create(vast.spec()).region == "CZ"

    def test_no_more_than_three_offers_are_tried_in_a_minute(self, vast: Vasts) -> None:
        vast.answer("/asks/", 404, {"success": False, "error": "no_such_ask"})
        asks = [
            {"id": number, "gpu_name": "RTX 4090", "num_gpus": 1, "dph_total": 0.3} for number in range(9)
        ]
        refuse = vast.spoil
        vast.spoil = lambda asked: (
            httpx.Response(200, json={"offers": asks}) if "bundles" in asked.url.path else refuse(asked)
        )
        elsewhere = []
        for _ in range(4):
            with pytest.raises(errors.CapacityError) as caught:
                vast.cloud.create(vast.spec())
            elsewhere.append(caught.value.elsewhere)
        assert elsewhere == [True, True, False, False]
        assert len(vast.bodies("PUT", "/asks/")) == 3
        vast.clock.now += 61
        with pytest.raises(errors.CapacityError):
            vast.cloud.create(vast.spec())
        assert len(vast.bodies("PUT", "/asks/")) == 4

    def test_the_search_comes_before_the_launch_is_written_down(self, vast: Vasts) -> None:
        spec = vast.spec()
        vast.cloud.prepare(spec)
        vast.sent.clear()
        vast.cloud.create(spec)
        assert [method for method, _, _ in vast.sent] == ["PUT"]
        vast.cloud.create(spec)
        assert [method for method, _, _ in vast.sent] == ["PUT", "POST", "PUT"]

    def test_nothing_free_shows_before_the_launch(self, vast: Vasts) -> None:
        vast.emulated.change_settings({"capacity": {"*|*": 0}})
        with pytest.raises(errors.CapacityError, match="nothing was sent"):
            vast.cloud.prepare(vast.spec())

    def test_an_offer_above_the_cap_is_left_alone(self, vast: Vasts) -> None:
        with pytest.raises(errors.PriceCapExceededError, match=r"0\.350 USD/h at the least"):
            vast.cloud.create(vast.spec(max_hourly_usd=0.2))
        assert vast.bodies("PUT", "/asks/") == []

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"image": ""}, "needs an image"),
            ({"startup": "true"}, "no startup script"),
            ({"volume_gb": 10}, "diskGb"),
            ({"env": {"-p 1:1": "1"}}, "not a name"),
            ({"ports": ("8000/tcp",)}, "only PORT/http and 22/tcp"),
            ({"ports": ("22/http",)}, "only PORT/http and 22/tcp"),
            ({"ports": ("70000/http",)}, "only PORT/http and 22/tcp"),
            ({"args": "'"}, "args"),
        ],
    )
    def test_what_it_can_not_do_is_refused_before_anything_is_sent(
        self, vast: Vasts, changes: dict[str, Any], says: str
    ) -> None:
        with pytest.raises(errors.ValidationError, match=says):
            vast.cloud.create(vast.spec(**changes))
        assert vast.sent == []

    @pytest.mark.parametrize("gpu", ["A100-80GB-SXM", "B200"])
    def test_a_gpu_whose_name_is_not_exact_is_not_sold(self, vast: Vasts, gpu: str) -> None:
        with pytest.raises(errors.ValidationError, match="it has: H100-SXM"):
            vast.cloud.create(vast.spec(replace(RTX, gpu=gpu)))

    def test_reserved_capacity_is_refused(self, vast: Vasts) -> None:
        with pytest.raises(errors.ValidationError, match="use on_demand or spot"):
            vast.cloud.create(vast.spec(replace(RTX, capacity=CapacityType.RESERVED)))


class TestRefusals:
    @pytest.mark.parametrize("status", [200, 400, 404, 410])
    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("no_such_ask", errors.CapacityError),
            ("insufficient_credit", errors.BillingError),
            ("auth_error", errors.AuthError),
        ],
    )
    def test_the_code_counts_and_not_the_status(
        self, vast: Vasts, status: int, code: str, error: type[errors.GpuCloudError]
    ) -> None:
        vast.answer("/asks/", status, {"success": False, "error": code, "msg": f"no {SECRET}"})
        with pytest.raises(error) as caught:
            vast.cloud.create(vast.spec())
        assert SECRET not in str(caught.value)

    def test_after_a_5xx_no_code_counts(self, vast: Vasts) -> None:
        vast.answer("/asks/", 502, {"success": False, "error": "no_such_ask"})
        with pytest.raises(errors.AmbiguousError):
            vast.cloud.create(vast.spec())

    @pytest.mark.parametrize(
        "body", [{}, [], {"success": True}, {"success": True, "new_contract": True}, {"new_contract": "x"}]
    )
    def test_a_success_without_an_id_is_no_clear_answer(self, vast: Vasts, body: object) -> None:
        vast.answer("/asks/", 200, body)
        with pytest.raises(errors.AmbiguousError):
            vast.cloud.create(vast.spec())

    def test_a_delete_that_is_refused_may_be_asked_again(self, vast: Vasts) -> None:
        made = vast.cloud.create(vast.spec())
        vast.fault("delete_refused")
        with pytest.raises(errors.ConflictError):
            vast.cloud.delete(made.id)
        vast.cloud.delete(made.id)
        assert vast.cloud.get(made.id).state is InstanceState.GONE


class TestSpot:
    def test_the_least_bid_is_taken_where_none_is_given(self, vast: Vasts) -> None:
        made = vast.cloud.create(vast.spec(SPOT))
        assert vast.bodies("PUT", "/asks/")[0]["price"] == made.hourly_usd == 0.15

    def test_a_bid_is_for_each_gpu(self, vast: Vasts) -> None:
        two = replace(SPOT, gpu_count=2, bid_per_gpu_usd=0.2)
        assert vast.cloud.create(vast.spec(two)).hourly_usd == pytest.approx(0.4)

    def test_a_bid_below_every_least_one_is_not_sent(self, vast: Vasts) -> None:
        with pytest.raises(errors.CapacityError, match="nothing was sent"):
            vast.cloud.create(vast.spec(replace(SPOT, bid_per_gpu_usd=0.1)))
        assert vast.bodies("PUT", "/asks/") == []

    def test_what_a_refused_bid_leaves_is_ended_and_the_next_offer_tried(self, vast: Vasts) -> None:
        vast.fault("bid_too_low")
        with pytest.raises(errors.CapacityError) as caught:
            vast.cloud.create(vast.spec(SPOT))
        assert caught.value.elsewhere
        assert vast.cloud.list("gp-") == []
        made = vast.cloud.create(vast.spec(SPOT))
        assert made.region == "CZ"
        assert [one.id for one in vast.cloud.list("gp-")] == [made.id]

    def test_what_a_refused_bid_leaves_and_can_not_be_ended_is_looked_for(self, vast: Vasts) -> None:
        vast.fault("bid_too_low")
        vast.fault("delete_refused")
        with pytest.raises(errors.AmbiguousError, match="stopped instance"):
            vast.cloud.create(vast.spec(SPOT))
        assert [one.state for one in vast.cloud.list(NAME)] == [InstanceState.STOPPED]

    def test_one_that_is_outbid_has_stopped_and_costs_nothing(self, vast: Vasts) -> None:
        made = vast.cloud.create(vast.spec(SPOT))
        vast.emulated.change_settings({"outbid_after_s": 30})
        vast.frame.advance(60)
        assert vast.cloud.get(made.id).state is InstanceState.READY
        vast.frame.advance(60)
        seen = vast.cloud.get(made.id)
        assert (seen.state, seen.hourly_usd) == (InstanceState.STOPPED, None)
        assert "outbid" in seen.detail

    def test_offers_tell_the_least_bid(self, vast: Vasts) -> None:
        demand, spot, none = vast.cloud.offers([RTX, SPOT, replace(SPOT, bid_per_gpu_usd=0.01)])
        assert (demand.hourly_usd, spot.hourly_usd, none.hourly_usd) == (0.35, 0.15, None)
        assert none.availability is Availability.NONE


class TestReading:
    def test_all_pages_are_read(self, vast: Vasts) -> None:
        vast.emulated.change_settings({"page_size": 2})
        made = {vast.cloud.create(vast.spec()).id for _ in range(5)}
        assert {one.id for one in vast.cloud.list("gp-")} == made
        assert len(vast.bodies("GET", "/v1/instances")) == 3

    def test_pages_that_do_not_end_are_an_error(self, vast: Vasts) -> None:
        vast.answer("/v1/instances", 200, {"instances": [], "next_token": "again"})
        with pytest.raises(errors.UnknownCloudError, match="do not end"):
            vast.cloud.list("")

    @pytest.mark.parametrize("answer", ["null", "404"])
    def test_both_words_for_gone_are_known(self, vast: Vasts, answer: str) -> None:
        vast.emulated.change_settings({"gone_answer": answer})
        assert vast.cloud.get("30000001").state is InstanceState.GONE

    @pytest.mark.parametrize(
        ("status", "state"),
        [
            (None, InstanceState.PENDING),
            ("created", InstanceState.PENDING),
            ("loading", InstanceState.PENDING),
            ("running", InstanceState.RUNNING),
            ("exited", InstanceState.STOPPED),
            ("offline", InstanceState.UNKNOWN),
            ("something new", InstanceState.UNKNOWN),
        ],
    )
    def test_states(self, vast: Vasts, status: str | None, state: InstanceState) -> None:
        shown = {"id": 5, "label": NAME, "actual_status": status, "unheard": {"of": 1}}
        vast.answer("/v0/instances/5", 200, {"instances": shown})
        assert vast.cloud.get("5").state is state

    @pytest.mark.parametrize("body", [{"instances": 7}, {}, [], {"instances": [{"label": "no id"}]}])
    def test_a_list_that_can_not_be_read_is_an_error(self, vast: Vasts, body: object) -> None:
        vast.answer("/v1/instances", 200, body)
        with pytest.raises(errors.UnknownCloudError):
            vast.cloud.list("")

    def test_a_port_is_reached_at_the_hosts_port(self, tmp_path: Path) -> None:
        vast = Vasts(tmp_path, proxy="")
        made = vast.cloud.create(vast.spec(ports=("8000/http", "22/tcp")))
        vast.frame.advance(100)
        seen = vast.cloud.get(made.id)
        ways = {(one.port, one.protocol): one.url for one in seen.endpoints}
        host = "198.51.100.10"
        assert ways == {(8000, "http"): f"http://{host}:48000", (22, "tcp"): f"tcp://{host}:40022"}
        assert seen.ssh == f"root@{host}:40022"

    def test_the_environment_is_not_read(self, vast: Vasts) -> None:
        made = vast.cloud.create(vast.spec())
        shown = vast.emulated.fleet.get("default", made.id)
        assert shown is not None and shown.env["TOKEN"] == SECRET
        assert SECRET not in repr(vast.cloud.list("gp-"))

    def test_what_it_does_not_do_is_refused(self, vast: Vasts) -> None:
        with pytest.raises(errors.ValidationError):
            vast.cloud.start("1")
        with pytest.raises(errors.ValidationError):
            vast.cloud.update("1", vast.spec())
        with pytest.raises(errors.ValidationError):
            vast.cloud.logs("1")
