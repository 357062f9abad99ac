"""Which offers fit a candidate, and what a launch sends. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from gpu_clouds import catalog, errors, node_tls
from gpu_clouds.models import Candidate, CapacityType, InstanceSpec, InstanceTemplate
from gpu_clouds.vast import INFO
from gpu_clouds.vast.models import Ask

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_OFFERS = 64


def refusal(problem: str) -> errors.ValidationError:
    """What this cloud can not do."""
    return errors.ValidationError(f"{INFO.title}: {problem}", cloud=INFO.name)


def check(spec: InstanceSpec) -> str:
    """The cloud's own name of the GPU, when it can do what is asked.

    Raises:
        ValidationError: It can not.
    """
    candidate, template = spec.candidate, spec.template
    native = catalog.native_gpu(INFO.name, candidate.gpu)
    problem = ""
    if candidate.capacity not in (CapacityType.ON_DEMAND, CapacityType.SPOT):
        problem = f"capacity {candidate.capacity} is not to be had; use on_demand or spot"
    elif native is None:
        problem = f"no GPU {candidate.gpu}; it has: {', '.join(catalog.native_gpus(INFO.name))}"
    elif not template.image:
        problem = "an instance needs an image"
    elif template.startup:
        problem = "an instance is a container and runs no startup script; put it into the image or args"
    elif template.volume_gb:
        problem = "an instance has one disk; set diskGb instead of volumeGb"
    elif odd := [name for name in template.env if not _VARIABLE.fullmatch(name)]:
        problem = f"env: {odd[0]!r} is not a name that a shell can set"
    elif odd := [port for port in template.ports if not _is_port(port)]:
        problem = (
            f"port {odd[0]!r}: only PORT/http and 22/tcp, because it does not keep what is spoken on a port"
        )
    if problem or native is None:
        raise refusal(problem)
    try:
        shlex.split(template.args)
    except ValueError as error:
        raise refusal(f"args can't be split into words: {error}") from None
    return native


def filters(candidate: Candidate, native: str, disk_gb: int) -> dict[str, object]:
    """The search for a candidate's offers, cheapest first."""
    spot = candidate.capacity is CapacityType.SPOT
    wanted: dict[str, object] = {
        "type": "bid" if spot else "on-demand",
        "gpu_name": {"eq": native},
        "num_gpus": {"eq": candidate.gpu_count},
        "rentable": {"eq": True},
        "verified": {"eq": True},
        "disk_space": {"gte": disk_gb},
        "allocated_storage": disk_gb,
        "order": [["min_bid" if spot else "dph_total", "asc"]],
        "limit": _MOST_OFFERS,
    }
    if countries := catalog.resolve_region(INFO.name, candidate.region):
        wanted["geolocation"] = {"in": list(countries)}
    return wanted


def hourly(candidate: Candidate, ask: Ask) -> float | None:
    """What the candidate costs at this offer, USD per hour; None where it is not to be had for its bid."""
    if candidate.capacity is not CapacityType.SPOT:
        return ask.dph_total
    if candidate.bid_per_gpu_usd is None or ask.min_bid is None:
        return ask.min_bid
    bid = round(candidate.bid_per_gpu_usd * candidate.gpu_count, 6)
    return bid if bid >= ask.min_bid else None


def country(geolocation: str) -> str:
    """The code of `Sweden, SE`."""
    return geolocation.rpartition(",")[2].strip()


def in_order(asks: Sequence[Ask], candidate: Candidate, avoid: frozenset[str]) -> list[tuple[Ask, float]]:
    """Offers with their prices, cheapest first, those in places to avoid last."""
    priced = [(ask, price) for ask in asks if (price := hourly(candidate, ask)) is not None]
    priced.sort(key=lambda one: (country(one[0].geolocation) in avoid, one[1], one[0].min_bid or 0.0))
    return priced


def body(spec: InstanceSpec, hourly_usd: float) -> dict[str, object]:
    """The launch call's body; the label in it is the marker, whole."""
    template = spec.template
    sent: dict[str, object] = {
        "client_id": "me",
        "image": template.image,
        "disk": template.disk_gb,
        "label": spec.name,
        "env": _environment(template),
        "runtype": "args",
    }
    if node_tls.VARIABLE in template.env:
        sent |= _behind_tls(template)
    elif template.args:
        sent["args"] = shlex.split(template.args)
    if spec.candidate.capacity is CapacityType.SPOT:
        sent["price"] = hourly_usd
    return sent


def _behind_tls(template: InstanceTemplate) -> dict[str, object]:
    """Another entry point, which writes the certificate's file and then becomes vLLM.

    A container has no way to be handed a file, and no word of what the image's own entry point is
    (docs.vast.ai, "create instance": `entrypoint`, and `args` for it).
    """
    words = shlex.split(template.args)
    server = ["vllm", "serve", *(words[1:] if words[:1] == ["serve"] else words)]
    lines = [*node_tls.writing(node_tls.FILE), f"unset {node_tls.VARIABLE}", 'exec "$@"']
    return {"entrypoint": "/bin/sh", "args": ["-c", " && ".join(lines), "sh", *server]}


def _environment(template: InstanceTemplate) -> dict[str, str]:
    """Variables, and in their midst the ports, as this API wants it."""
    env = dict(template.env)
    if template.ssh_public_keys:
        env.setdefault("PUBLIC_KEY", "\n".join(template.ssh_public_keys))
    numbers = dict.fromkeys(port.partition("/")[0] for port in template.ports)
    return env | {f"-p {number}:{number}": "1" for number in numbers}


def _is_port(text: str) -> bool:
    number, _, protocol = text.partition("/")
    if not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        return False
    return (protocol == "tcp") == (int(number) == 22) and protocol in ("http", "tcp")
