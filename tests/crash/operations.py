"""Short names of the calls of every cloud's API: what a case cuts, and what a failure shows."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_ONE = "/[^/]+"
_RUNPOD = "/v2"
_LAMBDA = "/api/v1"
_PAPERSPACE = "/paperspace/v1"
_VAST = "/vast/api"

_READS = (
    ("list", "GET", f"{_RUNPOD}/pods"),
    ("get", "GET", f"{_RUNPOD}/pods{_ONE}"),
    ("logs", "GET", f"{_RUNPOD}/pods{_ONE}/logs"),
    ("catalogue", "GET", f"{_RUNPOD}/catalog/.*"),
    ("list caches", "GET", f"{_RUNPOD}/network-volumes"),
    ("probe", "GET", "/proxy/.*"),
    ("lambda list", "GET", f"{_LAMBDA}/instances"),
    ("lambda get", "GET", f"{_LAMBDA}/instances{_ONE}"),
    ("lambda types", "GET", f"{_LAMBDA}/instance-types"),
    ("lambda list keys", "GET", f"{_LAMBDA}/ssh-keys"),
    ("lambda list rulesets", "GET", f"{_LAMBDA}/firewall-rulesets"),
    ("lambda list caches", "GET", f"{_LAMBDA}/file-systems"),
    ("lambda probe", "GET", "/lambda/.*"),
    ("paperspace list", "GET", f"{_PAPERSPACE}/machines"),
    ("paperspace get", "GET", f"{_PAPERSPACE}/machines{_ONE}"),
    ("paperspace list scripts", "GET", f"{_PAPERSPACE}/startup-scripts"),
    ("paperspace events", "GET", f"{_PAPERSPACE}/machine-events"),
    ("paperspace event", "GET", f"{_PAPERSPACE}/machine-events{_ONE}"),
    ("paperspace session", "GET", f"{_PAPERSPACE}/auth/session"),
    ("paperspace standing", "GET", f"{_PAPERSPACE}/billing/account-standing"),
    ("paperspace templates", "GET", f"{_PAPERSPACE}/os-templates"),
    ("paperspace availability", "GET", f"{_PAPERSPACE}/machine-availability"),
    ("paperspace list addresses", "GET", f"{_PAPERSPACE}/public-ips"),
    ("paperspace list snapshots", "GET", f"{_PAPERSPACE}/snapshots"),
    ("paperspace probe", "GET", "/paperspace/node/.*"),
    ("vast list", "GET", f"{_VAST}/v1/instances/"),
    ("vast get", "GET", f"{_VAST}/v0/instances{_ONE}/"),
    ("vast offers", "POST", f"{_VAST}/v0/bundles/"),
    ("vast user", "GET", f"{_VAST}/v0/users/current/"),
    ("vast probe", "GET", "/vast/node/.*"),
)
_WRITES = (
    ("launch", "POST", f"{_RUNPOD}/pods"),
    ("patch", "PATCH", f"{_RUNPOD}/pods{_ONE}"),
    ("delete", "DELETE", f"{_RUNPOD}/pods{_ONE}"),
    ("action", "POST", f"{_RUNPOD}/pods{_ONE}/action"),
    ("make cache", "POST", f"{_RUNPOD}/network-volumes"),
    ("end cache", "DELETE", f"{_RUNPOD}/network-volumes{_ONE}"),
    ("lambda launch", "POST", f"{_LAMBDA}/instance-operations/launch"),
    ("lambda delete", "POST", f"{_LAMBDA}/instance-operations/terminate"),
    ("lambda add key", "POST", f"{_LAMBDA}/ssh-keys"),
    ("lambda delete key", "DELETE", f"{_LAMBDA}/ssh-keys{_ONE}"),
    ("lambda make ruleset", "POST", f"{_LAMBDA}/firewall-rulesets"),
    ("lambda change ruleset", "PATCH", f"{_LAMBDA}/firewall-rulesets{_ONE}"),
    ("lambda delete ruleset", "DELETE", f"{_LAMBDA}/firewall-rulesets{_ONE}"),
    ("lambda make cache", "POST", f"{_LAMBDA}/filesystems"),
    ("lambda end cache", "DELETE", f"{_LAMBDA}/filesystems{_ONE}"),
    ("paperspace launch", "POST", f"{_PAPERSPACE}/machines"),
    ("paperspace change", "PUT", f"{_PAPERSPACE}/machines{_ONE}"),
    ("paperspace delete", "DELETE", f"{_PAPERSPACE}/machines{_ONE}"),
    ("paperspace make script", "POST", f"{_PAPERSPACE}/startup-scripts"),
    ("paperspace end script", "DELETE", f"{_PAPERSPACE}/startup-scripts{_ONE}"),
    ("paperspace release address", "DELETE", f"{_PAPERSPACE}/public-ips{_ONE}"),
    ("paperspace delete snapshot", "DELETE", f"{_PAPERSPACE}/snapshots{_ONE}"),
    ("vast launch", "PUT", f"{_VAST}/v0/asks{_ONE}/"),
    ("vast delete", "DELETE", f"{_VAST}/v0/instances{_ONE}/"),
)
_PATTERNS = tuple((name, method, re.compile(path)) for name, method, path in (*_READS, *_WRITES))

READING = frozenset(name for name, _, _ in _READS)
"""Operations that change nothing, a search by POST too."""
WRITING = frozenset(name for name, _, _ in _WRITES)
"""Operations that change something in a cloud."""


def operation_of(method: str, path: str) -> str:
    """Short name of a call; method and path where it is none that is known."""
    bare = urlsplit(path).path
    for name, its_method, pattern in _PATTERNS:
        if method == its_method and pattern.fullmatch(bare):
            return name
    return f"{method} {bare}"
