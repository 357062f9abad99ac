"""Named cloud accounts: how one is described, and that its key shows up nowhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from gpu_clouds import redaction


@dataclass(frozen=True, slots=True)
class CredentialSet:
    """One account of one cloud under the name that the stack file gives it.

    The key is left out of `repr` and is removed from every log line and error of this process from now on.

    Args:
        name: Name of the set in the stack file.
        cloud: Name of the cloud: `runpod`.
        api_key: The account's key; empty where the cloud needs none.
        endpoint: Base URL of the API; empty for the cloud's own. Plain http is accepted for loopback only.
        proxy_template: How a node's http port is reached, with `{id}` and `{port}`; empty for the cloud's
            own way.
        allowed_sources: IPv4 networks that may reach the ports of nodes, on clouds whose firewall is closed
            at first (Lambda); empty for nobody but whom the account lets in anyway.
        features: What is switched on besides the cloud's main API: names of its `INFO.features`.
        user: User name of basic authentication, whose password is then `api_key` (SkyPilot).
        ca_file: File with the certificates to trust instead of the system's (SkyPilot).
        allow_insecure: Accept plain http to another machine, where anybody on the way can read (SkyPilot).
        workspace: Workspace of the server; empty for its default (SkyPilot).
    """

    name: str
    cloud: str
    api_key: str = field(repr=False)
    endpoint: str = ""
    proxy_template: str = ""
    allowed_sources: tuple[str, ...] = ()
    features: frozenset[str] = frozenset()
    user: str = ""
    ca_file: str = ""
    allow_insecure: bool = False
    workspace: str = ""

    def __post_init__(self) -> None:
        redaction.remember(self.api_key)
