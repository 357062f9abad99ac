"""TLS on every way in."""

from __future__ import annotations

from typing import Any

import pytest

from policies.ingress_tls import LISTENER, look
from policies.reading import UNKNOWN, Seen
from stack_config.policies import Rule
from tests.policies.made import made


def ingress(*hosts: str, tls: Any = None) -> Seen:
    rules = [{"host": host} if host else {} for host in hosts]
    return made("kubernetes:networking.k8s.io/v1:Ingress", spec={"rules": rules, "tls": tls})


def gateway(protocol: str) -> Seen:
    listeners = [{"name": "web", "protocol": protocol}]
    return made("kubernetes:gateway.networking.k8s.io/v1:Gateway", spec={"listeners": listeners})


def listener(protocol: str, *actions: str) -> Seen:
    return made(LISTENER, protocol=protocol, defaultActions=[{"type": action} for action in actions])


@pytest.mark.parametrize(
    ("resource", "words"),
    [
        (ingress("a.x"), ["host a.x"]),
        (ingress("a.x", tls=[{"hosts": ["a.x"]}]), []),
        (ingress("a.x", tls=[{"hosts": ["*.x"]}]), []),
        (ingress("a.x", "b.y", tls=[{"hosts": ["a.x"]}]), ["host b.y"]),
        (ingress("a.x", tls=[{"secretName": "all"}]), []),
        (ingress("a.x", tls=UNKNOWN), []),
        (ingress("", tls=[]), ["no TLS"]),
        (ingress(), ["no TLS"]),
        (gateway("HTTP"), ["listener web"]),
        (gateway("HTTPS"), []),
        (listener("HTTP", "forward"), ["plain HTTP"]),
        (listener("HTTP", "redirect"), []),
        (listener("HTTPS", "forward"), []),
        (made("kubernetes:core/v1:Service"), []),
    ],
)
def test_what_is_not_encrypted_is_named(resource: Seen, words: list[str]) -> None:
    found = list(look(resource, Rule(), "none"))
    assert len(found) == len(words), found
    assert all(word in what for word, what in zip(words, found, strict=True))
