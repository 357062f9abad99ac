"""TLS on every way in from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import Severity

from policies.kubernetes_objects import is_object
from policies.reading import UNKNOWN, Seen, inside, items, text
from policies.rules import resource_policy
from stack_config.policies import Rule, Stage

LISTENER = "aws:lb/listener:Listener"


def look(resource: Seen, limits: Rule, stage: Stage) -> Iterator[str]:
    """Reports hosts of an Ingress without TLS, and listeners of plain HTTP that do not redirect."""
    if is_object(resource) and resource.kind == "Ingress":
        yield from _ingress(resource.props.get("spec"))
    elif is_object(resource) and resource.kind == "Gateway":
        for listener in items(inside(resource.props, "spec", "listeners")):
            if inside(listener, "protocol") == "HTTP":
                yield f"has a listener {text(inside(listener, 'name'))} of plain HTTP"
    elif resource.type == LISTENER and resource.props.get("protocol") == "HTTP":
        actions = items(resource.props.get("defaultActions"))
        if any(inside(action, "type") != "redirect" for action in actions):
            yield "answers plain HTTP"


def _ingress(spec: Any) -> Iterator[str]:
    certificates = inside(spec, "tls")
    if certificates is UNKNOWN or spec is UNKNOWN:
        return
    blocks = [block for block in items(certificates) if isinstance(block, Mapping)]
    covered = [text(host) for block in blocks for host in items(block.get("hosts"))]
    if any(not items(block.get("hosts")) for block in blocks):
        return  # a certificate without hosts is for all of them
    rules = [rule for rule in items(inside(spec, "rules")) if isinstance(rule, Mapping)]
    hosts = [rule.get("host") for rule in rules] or [None]
    for host in dict.fromkeys(host for host in hosts if host is not UNKNOWN):
        if not _is_covered(text(host), covered):
            yield f"has no TLS for host {host}" if host else "has no TLS"


def _is_covered(host: str, covered: Sequence[str]) -> bool:
    wild = f"*.{host.partition('.')[2]}"
    return bool(covered) if not host else host in covered or wild in covered


policy = resource_policy(
    "ingress-tls",
    Rule,
    look,
    display_name="TLS on every ingress",
    description="What is reached from outside is encrypted on the way.",
    severity=Severity.HIGH,
    remediation_steps="give the host a certificate (spec.tls, protocol HTTPS), or redirect to HTTPS.",
)
