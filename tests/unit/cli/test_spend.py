"""The command: who is asked, what is shown where somebody does not answer, and that no secret is."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

from cli.main import run
from cli.spend_lines import Reading, line
from cli.spend_period import Period
from cli.spend_state import GATEWAY_NODE_TYPE
from cli.spend_table import Spending, as_data, as_table
from cli.state import CLUSTER_TYPE, Node
from gpu_clouds.billing import Charge
from gpu_clouds.errors import AuthError, TransientError
from gpu_clouds.models import Candidate, InstanceState
from gpu_clouds.skypilot.cloud import SkyPilotCloud
from tests.unit.cli.clouded import STACK_ID, Cloud, Clouded, clouded, resource
from tests.unit.cli.conftest import Project
from tests.unit.cli.test_spend_use import secret
from tests.unit.dynamic_providers.memory_cloud import QuickClock
from tests.unit.skypilot.cloud.sky import UP, Sky, recorded_value

CANDIDATE = Candidate("runpod", "main", "EU-RO-1", "RTX4090")
TOKEN = "canary-admin-token"


def hours_ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


@dataclass
class Billed(Cloud):
    """A cloud that has bills."""

    bills: list[Charge] = field(default_factory=list)
    bill: str = "the bill"

    def charges(
        self, begin: datetime, end: datetime | None, now: datetime, nodes: Collection[str]
    ) -> Sequence[Charge]:
        self._call("charges")
        return self.bills

    def billed(self, node: str, usd: str, storage: str = "0") -> None:
        begin = hours_ago(5)
        self.bills.append(Charge(node, begin, begin + timedelta(hours=1), Decimal(usd), Decimal(storage)))


@pytest.fixture
def stack(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clouded:
    made = clouded(project, tmp_path, monkeypatch)
    made.clouds["main"] = Billed("main")
    return made


def plant(cloud: Cloud, node: str, hours: float = 10, **more: Any) -> str:
    made = cloud.plant(f"gp-p-{STACK_ID}-{node}-0a1b2c3d", CANDIDATE)
    cloud.nodes[made.id] = replace(made, created_at=hours_ago(hours), **more)
    return made.id


def on(credentials: str, name: str, node_id: str, **more: Any) -> dict[str, Any]:
    found = resource(name, node_id, **more)
    found["outputs"]["candidate"] = found["outputs"]["candidate"] | {"credentials": credentials}
    return found


def spend(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[dict[str, Any], str]:
    assert run(["spend", "--stack", "prod", "--since", "9d", "--json", *arguments]) == code
    shown = capsys.readouterr()
    assert "canary" not in shown.out + shown.err
    found: dict[str, Any] = json.loads(shown.out)
    return found, shown.err


def by_name(found: dict[str, Any]) -> dict[str, Any]:
    return {node["name"]: node for node in found["nodes"]}


def test_bills_where_there_are_some_and_hours_elsewhere(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    main, other = cast("Billed", stack.clouds["main"]), stack.clouds["other"]
    billed, hourly = plant(main, "chat-0"), plant(other, "chat-1", hours=4, hourly_usd=0.75)
    main.billed(billed, "5.25", "0.05")
    main.billed(billed, "1", "0.01")
    main.billed("somebody-elses", "7.5")
    stack.state(on("main", "chat-0", billed), on("other", "chat-1", hourly))
    found, said = spend(capsys)
    assert said == ""
    nodes = by_name(found)
    assert nodes["chat-0"]["actualUsd"] == 6.25
    assert nodes["chat-0"]["storageUsd"] == 0.06
    assert nodes["chat-0"]["estimatedUsd"] == pytest.approx(5, abs=0.02)
    assert nodes["chat-0"]["differenceUsd"] == pytest.approx(1.25, abs=0.02)
    assert (nodes["chat-0"]["source"], nodes["chat-1"]["source"]) == ("the bill", "running hours x price")
    assert nodes["chat-1"]["estimatedUsd"] == pytest.approx(2, abs=0.02)
    assert nodes["chat-1"]["actualUsd"] == pytest.approx(3, abs=0.02)  # at the price of now
    assert {node["idleSource"] for node in nodes.values()} == {"no gateway of this stack has it"}
    assert found["otherBilledUsd"] == {"main": 7.5}
    assert found["totals"]["actualUsd"] == nodes["chat-0"]["actualUsd"] + nodes["chat-1"]["actualUsd"]
    assert found["totals"]["notCompared"] == 0
    assert found["totals"]["idleUnknown"] == 2
    assert main.calls == ["list", "charges"]


@pytest.mark.parametrize("call", ["list", "charges"])
def test_a_cloud_that_does_not_answer_is_said_and_the_rest_is_shown(
    stack: Clouded, capsys: pytest.CaptureFixture[str], call: str
) -> None:
    main, other = stack.clouds["main"], stack.clouds["other"]
    away, there = plant(main, "chat-0"), plant(other, "chat-1")
    main.errors[call] = TransientError("main is away", cloud="runpod")
    stack.state(on("main", "chat-0", away), on("other", "chat-1", there))
    found, said = spend(capsys, code=1)
    assert said == "gpuplane: main could not be read: main is away\n"
    nodes = by_name(found)
    assert nodes["chat-0"]["problem"] == found["problems"]["main"] == "main is away"
    assert nodes["chat-1"]["problem"] is None
    assert nodes["chat-1"]["actualUsd"] == pytest.approx(5, abs=0.02)
    if call == "charges":
        assert nodes["chat-0"]["actualUsd"] is None
        assert nodes["chat-0"]["estimatedUsd"] == pytest.approx(5, abs=0.02)
    else:
        assert nodes["chat-0"]["estimatedUsd"] is None
    assert run(["spend", "--stack", "prod"]) == 1
    assert "did not answer" in capsys.readouterr().out


def test_a_credential_set_that_is_not_declared_any_more(
    stack: Clouded, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.state(on("old", "chat-0", "pod1"))
    found, said = spend(capsys, code=1)
    assert "no credential set 'old'" in said
    assert by_name(found)["chat-0"]["estimatedUsd"] is None


def test_since_when_a_node_runs(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    other = stack.clouds["other"]
    silent, gone, stopped = plant(other, "a-0"), "pod-gone", plant(other, "c-0", state=InstanceState.STOPPED)
    other.nodes[silent] = replace(other.nodes[silent], created_at=None)
    unknown = plant(other, "d-0")
    other.nodes[unknown] = replace(other.nodes[unknown], created_at=None)
    stack.state(
        on("other", "a-0", silent, created=hours_ago(6).isoformat().replace("+00:00", "Z")),
        on("other", "b-0", gone),
        on("other", "c-0", stopped),
        on("other", "d-0", unknown, created="then"),
    )
    nodes = by_name(spend(capsys)[0])
    assert nodes["a-0"]["hours"] == pytest.approx(6, abs=0.02)
    assert nodes["a-0"]["notes"] == ["runs since the state has it: its cloud does not say when it was made"]
    assert [nodes[name]["hours"] for name in ("b-0", "c-0", "d-0")] == [None] * 3
    assert nodes["b-0"]["notes"] == ["is not in its cloud any more"]
    assert nodes["c-0"]["notes"] == ["is STOPPED: since when, its cloud does not say"]
    assert nodes["d-0"]["notes"] == ["its cloud does not say since when it runs"]


@pytest.fixture
def gateway() -> Iterator[tuple[str, list[str]]]:
    """A ledger behind a socket: its address, and its rows as CSV."""
    rows = ["begun,ended,nodes"]

    class Ledger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the server's own name for it
            known = self.headers["Authorization"] == f"Bearer {TOKEN}"
            content = "\r\n".join(rows).encode()
            self.send_response(200 if known else 401)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Ledger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", rows
    server.shutdown()
    thread.join()
    server.server_close()


def registered(node: str, node_id: str, url: str, token: str = TOKEN) -> dict[str, Any]:
    props = {"gateway": url, "adminToken": secret(token), "node": node, "nodeId": node_id}
    urn = f"urn:pulumi:prod::gpuplane::{GATEWAY_NODE_TYPE}::gateway-{node}"
    return {"urn": urn, "type": GATEWAY_NODE_TYPE, "id": node, "inputs": props, "outputs": props}


def test_idle_money_is_what_the_ledger_has_no_request_for(
    stack: Clouded, capsys: pytest.CaptureFixture[str], gateway: tuple[str, list[str]]
) -> None:
    other = stack.clouds["other"]
    used, idle = plant(other, "chat-0"), plant(other, "chat-1")
    url, rows = gateway
    rows.append(f"{hours_ago(8).isoformat()},{hours_ago(2).isoformat()},chat-0")
    entries = (registered("chat-0", used, url), registered("chat-1", idle, url))
    stack.state(on("other", "chat-0", used), on("other", "chat-1", idle), *entries)
    found, _ = spend(capsys)
    nodes = by_name(found)
    assert nodes["chat-0"]["idleUsd"] == pytest.approx(2, abs=0.02)  # 4 of 10 hours
    assert nodes["chat-1"]["idleUsd"] == pytest.approx(5, abs=0.02)
    assert "gateway's ledger" in nodes["chat-0"]["idleSource"]

    refused = (registered("chat-0", used, url, "canary-old-token"),)
    stack.state(on("other", "chat-0", used), *refused)
    found, said = spend(capsys, code=1)
    node = by_name(found)["chat-0"]
    assert (node["idleUsd"], node["problem"]) == (None, None)
    assert node["idleSource"] == f"unknown: the gateway at {url} answered HTTP 401"
    assert said == f"gpuplane: {url} could not be read: the gateway at {url} answered HTTP 401\n"
    assert node["estimatedUsd"] == pytest.approx(5, abs=0.02)


@dataclass
class Reporting(Sky):
    rows: list[dict[str, Any]] = field(default_factory=list)
    queue: list[dict[str, Any]] = field(default_factory=list)

    def _read(self, path: str, body: dict[str, Any], name: str) -> tuple[Any, str]:
        answers = {"/cost_report": self.rows, "/queue": self.queue}
        return (answers[path], "") if path in answers else super()._read(path, body, name)


CLUSTER = f"gp-p-{STACK_ID}-train-0a1b2c3d"


def cluster(**outputs: Any) -> dict[str, Any]:
    props = {"node": "train", "clusterName": CLUSTER, "place": "slurm/hall1", "gpus": {"H100": 8}, "nodes": 1}
    props |= {"hourlyUsd": 2.0, **outputs}
    urn = f"urn:pulumi:prod::gpuplane::{CLUSTER_TYPE}::train"
    return {"urn": urn, "type": CLUSTER_TYPE, "id": CLUSTER, "inputs": props, "outputs": props}


def server() -> Reporting:
    """One on which the cluster has run for 10 of the last 20 hours, with a job for 4 of them."""
    record = recorded_value("clusters", "status.get")[0] | UP
    labels = {"gpuplane-marker": CLUSTER}
    launched = hours_ago(10).timestamp()
    report = recorded_value("clusters", "cost_report.get")[0]
    sky = Reporting(
        QuickClock(),
        records={CLUSTER: {**record, "name": CLUSTER, "labels": labels, "launched_at": launched}},
        machines={CLUSTER: "running"},
        rows=[{**report, "name": CLUSTER, "usage_intervals": [[launched, None]], "total_cost": 25.0}],
        queue=[
            {
                "job_id": 1,
                "status": "SUCCEEDED",
                "start_at": hours_ago(9).timestamp(),
                "end_at": hours_ago(5).timestamp(),
            }
        ],
    )
    sky.jobs[CLUSTER] = 1
    return sky


@pytest.mark.parametrize("own", [False, True])
def test_a_skypilot_cluster(
    stack: Clouded, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    sky = server()
    if own:
        stack.config["credentials"] = {}
        stack.config["clusters"] = {}
        asked: list[Any] = []

        def connect(account: Any, **_: Any) -> SkyPilotCloud:
            asked.append(account)
            return SkyPilotCloud(sky.client(), account.name)

        monkeypatch.setattr("gpu_clouds.registry.connect", connect)
        stack.state(cluster(endpoint="http://127.0.0.1:46580", user="admin", token=secret(TOKEN)))
    else:
        stack.clouds["main"] = cast("Cloud", SkyPilotCloud(sky.client(), "main"))
        stack.state(cluster(credentials="main"))
    found, said = spend(capsys)
    assert said == ""
    (node,) = found["nodes"]
    assert node["hours"] == pytest.approx(10, abs=0.02)
    assert node["estimatedUsd"] == pytest.approx(20, abs=0.02)
    assert node["actualUsd"] == 25
    assert node["differenceUsd"] == pytest.approx(5, abs=0.02)
    assert node["source"] == "SkyPilot cost report"
    assert node["idleUsd"] == pytest.approx(12, abs=0.02)
    assert node["idleSource"] == "time without a job x price"
    if own:
        assert [(each.user, each.api_key, each.endpoint) for each in asked] == [
            ("admin", TOKEN, "http://127.0.0.1:46580")
        ]


def test_a_node_on_skypilot(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    """Its id has its server in it, the report its name alone."""
    stack.clouds["main"] = cast("Cloud", SkyPilotCloud(server().client(), "main"))
    made = resource("train", f"{CLUSTER}@1a2b3c4d")
    made["outputs"]["candidate"] |= {"cloud": "skypilot"}
    stack.state(made)
    (node,) = spend(capsys)[0]["nodes"]
    assert (node["actualUsd"], node["notes"]) == (25, [])
    assert node["hours"] == pytest.approx(10, abs=0.02)
    assert node["idleUsd"] == pytest.approx(3, abs=0.02)  # 6 hours at the state's 0.5


def test_a_stopped_cluster_and_one_that_is_gone(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    sky = server()
    stack.clouds["main"] = cast("Cloud", SkyPilotCloud(sky.client(), "main"))
    stack.state(cluster(credentials="main"))
    sky.records, sky.machines = {}, {}
    until = hours_ago(4).timestamp()
    sky.rows[0] |= {
        "usage_intervals": [[hours_ago(10).timestamp(), until]],
        "total_cost": 12.0,
        "status": None,
    }
    (node,) = spend(capsys)[0]["nodes"]
    assert (node["actualUsd"], node["notes"]) == (12, ["is not in its cloud any more"])
    assert node["hours"] == pytest.approx(6, abs=0.02)
    assert (node["idleUsd"], node["idleSource"]) == (None, "only a cluster that is up tells of its jobs")


def test_the_table(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    main, other = cast("Billed", stack.clouds["main"]), stack.clouds["other"]
    first, second = plant(main, "chat-0"), plant(other, "chat-1", hours=2)
    main.billed(first, "1006.25", "0.06")
    main.billed("somebody-elses", "7.5")
    stack.state(on("main", "chat-0", first), on("other", "chat-1", second), on("other", "chat-2", "gone"))
    assert run(["spend", "--stack", "prod", "--since", "9d"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("stack prod, ")
    assert "to now UTC, USD; read " in lines[0]
    head = "NODE CANDIDATE HOURS ESTIMATED ACTUAL DISKS DIFFERENCE IDLE USD/MONTH ACTUAL FROM"
    assert lines[1].split() == head.split()
    words = "chat-0 runpod EU-RO-1 RTX4090 x1 10.00 5.00 1,006.25 0.06 1,001.25 unknown 365.00 the bill"
    assert lines[2].split() == words.split()
    words = "chat-1 runpod EU-RO-1 RTX4090 x1 2.00 1.00 1.00 0.00 unknown 365.00 running hours x price"
    assert lines[3].split() == words.split()
    words = "chat-2 runpod EU-RO-1 RTX4090 x1 unknown unknown unknown unknown unknown 365.00 unknown"
    assert lines[4].split() == words.split()
    assert lines[5].split() == ["total", "6.00", "1,007.25", "0.06", "1,001.25", "0.00", "1,095.00"]
    assert lines[6:] == [
        "1 of 3 could not be compared; what is unknown is in no total",
        "chat-2: is not in its cloud any more",
        "idle of chat-0, chat-1, chat-2: no gateway of this stack has it",
        "credential set main was billed 7.50 besides: other stacks, and nodes that have ended",
    ]


def test_a_state_without_nodes(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["spend", "--stack", "prod", "--month", "2025-02"]) == 0
    head, rest = capsys.readouterr().out.splitlines()
    assert head.startswith("stack prod, 2025-02-01 00:00 to 2025-03-01 00:00 UTC, USD; read ")
    assert rest == "the state has no node"
    found, _ = spend(capsys)
    assert (found["nodes"], found["until"]) == ([], None)


@pytest.mark.parametrize("arguments", [["--month", "2026-13"], ["--since", "2d", "--month", "2025-01"]])
def test_a_wrong_period_asks_nobody(
    stack: Clouded, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(["spend", "--stack", "prod", *arguments]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert stack.clouds["main"].calls == []


def test_a_refused_key_is_one_line(stack: Clouded, capsys: pytest.CaptureFixture[str]) -> None:
    stack.clouds["main"].errors["list"] = AuthError("the key is refused", cloud="runpod")
    stack.clouds["main"].errors["charges"] = AuthError("the key is refused", cloud="runpod")
    stack.state(on("main", "chat-0", "pod1"))
    _, said = spend(capsys, code=1)
    assert said.splitlines() == ["gpuplane: main could not be read: the key is refused"]


def test_a_thousand_nodes_share_their_notes() -> None:
    period = Period(datetime(2026, 11, 1, tzinfo=UTC))
    reading = Reading(datetime(2026, 11, 2, tzinfo=UTC), InstanceState.GONE)
    lines = [line(Node(f"chat-{n}", f"pod{n}", "words", 0.1), reading, period) for n in range(1000)]
    found = Spending("prod", period, datetime(2026, 11, 2, tzinfo=UTC), lines)
    below = as_table(found).splitlines()[1003:]
    assert below == [
        "1000 of 1000 could not be compared; what is unknown is in no total",
        "chat-0, chat-1, chat-2 and 997 more: is not in its cloud any more",
        "idle of chat-0, chat-1, chat-2 and 997 more: nothing says when it was used",
    ]
    assert as_data(found)["totals"]["monthlyUsd"] == 73_000
