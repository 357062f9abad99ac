"""The calls of the API: offers, rents, instances, the account."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from emulators.faults import Fault
from emulators.http import Answer, Request, json_response
from emulators.vast.catalogue import Host
from emulators.vast.fleet import Fleet
from emulators.vast.machine import Machine, view
from emulators.vast.problems import Refusal
from emulators.vast.settings import AccountSettings, Settings

_FILTERS = frozenset({"eq", "neq", "gt", "gte", "lt", "lte", "in", "notin"})
_PORT = re.compile(r"-p \d{1,5}:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call.

    Attributes:
        request: The request.
        account: Whose key it has.
        settings: The settings of the moment.
        fleet: The instances.
        fault: Asks for a fault of this kind.
        id: The id in the path; empty if there is none.
    """

    request: Request
    account: AccountSettings
    settings: Settings
    fleet: Fleet
    fault: Callable[[str], Fault | None]
    id: str

    def body(self) -> dict[str, Any]:
        """The body.

        Raises:
            Refusal: 400 for what is no JSON object.
        """
        try:
            value = self.request.json()
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Refusal(400, "invalid_args", "the body is not a JSON object")
        return value


def search(call: Call) -> Answer:
    """Offers that fit the filters, in the order asked for."""
    body = call.body()
    bids = body.get("type", "on-demand") == "bid"
    if body.get("type", "on-demand") not in ("on-demand", "bid", "reserved"):
        raise Refusal(400, "invalid_args", f"type: {body['type']!r}")
    rows = [_offer(call, host, bids) for host in call.fleet.hosts()]
    for name, wanted in body.items():
        if name in ("type", "limit", "order", "allocated_storage"):
            continue
        if not isinstance(wanted, dict) or not set(wanted) <= _FILTERS:
            raise Refusal(400, "invalid_args", f"{name}: no filter")
        rows = [row for row in rows if name not in row or _fits(row[name], wanted)]
    for name, direction in reversed(body.get("order", [])):
        rows.sort(key=lambda row: row[name], reverse=direction == "desc")
    return json_response({"offers": rows[: int(body.get("limit", 64))]})


def rent(call: Call) -> Answer:
    """Rents an offer. A bid below the least one is refused, and leaves a stopped instance behind."""
    body = call.body()
    bid, env = body.get("price"), body.get("env", {})
    if not isinstance(body.get("image"), str) or not body["image"]:
        raise Refusal(400, "invalid_args", "image: missing")
    if not isinstance(env, dict) or any(name.startswith("-") and not _PORT.fullmatch(name) for name in env):
        raise Refusal(400, "invalid_args", "env: no object of variables and -p host:container")
    if fault := call.fault("create_refused"):
        status, error = int(fault.number("status", 400)), fault.text("error", "invalid_args")
        raise Refusal(status, error, fault.text("message", "the request was refused"))
    if call.account.credit - call.fleet.spent(call.account.account) <= 0:
        raise Refusal(400, "insufficient_credit", "Your account lacks credit; see the billing page.")
    host = next((one for one in call.fleet.hosts() if str(one.ask_id) == call.id), None)
    if host is None or call.settings.listed_but_taken or call.fault("no_capacity"):
        raise Refusal(404, "no_such_ask", f"Instance type by id {call.id} is not available.")
    on_demand, min_bid = call.fleet.price(host)
    machine = call.fleet.rent(
        call.account.account,
        host,
        label=str(body.get("label") or ""),
        rate=on_demand if bid is None else float(bid),
        is_bid=bid is not None,
        image=body["image"],
        env={str(name): str(value) for name, value in env.items()},
        arguments=[str(word) for word in body.get("args") or []],
        entrypoint=str(body.get("entrypoint") or ""),
    )
    if bid is not None and (float(bid) < min_bid or call.fault("bid_too_low")):
        machine.stopped = True
        call.fleet.save(machine)
        more = {"new_contract": machine.id}
        raise Refusal(400, "bid_too_low", f"the bid is below the minimum of {min_bid}", more=more)
    _afflict(call, machine)
    return json_response({"success": True, "new_contract": machine.id})


def listing(call: Call) -> Answer:
    """One page of the account's instances."""
    text = call.request.query.get("limit", "25")
    if not text.isascii() or not text.isdigit() or not int(text):
        raise Refusal(400, "invalid_args", "limit: no number")
    size = min(int(text), int(call.settings.page_size))
    found = call.fleet.listed(call.account.account)
    after = call.request.query.get("after_token", "")
    if after and not (after.isascii() and after.isdigit()):
        raise Refusal(400, "invalid_args", "after_token: unknown")
    rest = [one for one in found if not after or one.id > int(after)]
    page, more = rest[:size], len(rest) > size
    now = call.fleet.now()
    return json_response(
        {
            "success": True,
            "instances": [view(one, now, call.settings) for one in page],
            "next_token": str(page[-1].id) if more else None,
            "total_instances": len(found),
            "label_counts": {},
        }
    )


def show(call: Call) -> Answer:
    """One instance, alone under a name in the plural."""
    machine = call.fleet.get(call.account.account, call.id)
    if machine is None:
        if call.settings.gone_answer == "404":
            raise _no_such_instance(call)
        return json_response({"instances": None})
    return json_response({"instances": view(machine, call.fleet.now(), call.settings)})


def destroy(call: Call) -> Answer:
    """Ends an instance at once."""
    machine = call.fleet.get(call.account.account, call.id)
    if machine is None:
        raise _no_such_instance(call)
    if fault := call.fault("delete_refused"):
        status, error = int(fault.number("status", 400)), fault.text("error", "invalid_state")
        raise Refusal(status, error, fault.text("message", "the instance can not be destroyed now"))
    call.fleet.destroy(machine)
    return json_response({"success": True})


def user(call: Call) -> Answer:
    """The account."""
    credit = call.account.credit - call.fleet.spent(call.account.account)
    return json_response({"id": 1, "username": call.account.account, "credit": round(credit, 4)})


def _no_such_instance(call: Call) -> Refusal:
    return Refusal(404, "no_such_instance", f"Instance {call.id} not found.")


def _offer(call: Call, host: Host, bids: bool) -> dict[str, Any]:
    on_demand, min_bid = call.fleet.price(host)
    return {
        "id": host.ask_id,
        "gpu_name": host.gpu_name,
        "num_gpus": host.num_gpus,
        "geolocation": host.country,
        "dph_total": min_bid if bids else on_demand,
        "min_bid": min_bid,
        "rentable": True,
        "verified": True,
        "reliability2": 0.99,
        "disk_space": 2000.0,
        "direct_port_count": 100,
    }


def _fits(value: Any, wanted: dict[str, Any]) -> bool:
    tests: dict[str, Callable[[Any], bool]] = {
        "eq": lambda one: bool(value == one),
        "neq": lambda one: bool(value != one),
        "gt": lambda one: bool(value > one),
        "gte": lambda one: bool(value >= one),
        "lt": lambda one: bool(value < one),
        "lte": lambda one: bool(value <= one),
        "in": lambda one: value in one,
        "notin": lambda one: value not in one,
    }
    return all(tests[name](one) for name, one in wanted.items())


def _afflict(call: Call, machine: Machine) -> None:
    """Faults that a new instance has from the start."""
    for kind, trouble in (("stuck_provisioning", "stuck"), ("boot_fails", "fails"), ("unusable", "unusable")):
        if call.fault(kind):
            machine.trouble = trouble
    if fault := call.fault("unknown_state"):
        machine.reported_status = fault.text("status", "migrating")
    call.fleet.save(machine)


ROUTES: dict[tuple[str, str], Callable[[Call], Answer]] = {
    ("POST", "/v0/bundles"): search,
    ("PUT", "/v0/asks/{id}"): rent,
    ("GET", "/v1/instances"): listing,
    ("GET", "/v0/instances/{id}"): show,
    ("DELETE", "/v0/instances/{id}"): destroy,
    ("GET", "/v0/users/current"): user,
}
