"""What a stack owns in a Lambda account besides its nodes: SSH keys and firewall rulesets.

Both are named after the stack and a hash of what they hold: `gp-<owner>-<stackId>-ssh-<hash>` and
`…-fw-<hash>`. They are looked for before they are made, and only names of exactly this form are ever
deleted. A customer's own keys are used where the key is the same, and left alone; account-wide firewall rules
are never touched.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gpu_clouds import errors
from gpu_clouds.cloud import Note, unnoted
from gpu_clouds.lambda_cloud import ssh_key
from gpu_clouds.lambda_cloud.client import LambdaClient
from gpu_clouds.lambda_cloud.models import FirewallRuleset
from gpu_clouds.marker import Marker, stack_prefix
from gpu_clouds.models import InstanceTemplate

Rule = Mapping[str, object]


class StackObjects:
    """Keys and rulesets of the stacks that are launched through one connection.

    What was found once is taken for there until `forget`, because each look costs a second of the account's
    pace.

    Args:
        client: The account.
        state_dir: Where the stacks' own key pairs are kept.
        allowed_sources: IPv4 networks that may reach the ports of nodes.
    """

    def __init__(self, client: LambdaClient, state_dir: Path, allowed_sources: Iterable[str]) -> None:
        self._client = client
        self._state_dir = state_dir
        self._sources = tuple(allowed_sources)
        self._lock = threading.Lock()
        self._keys: dict[tuple[str, str], str] = {}
        self._rulesets: dict[str, str] = {}

    def key_name(self, marker: Marker | None, template: InstanceTemplate, note: Note = unnoted) -> str:
        """Name of the account's key that a launch names: the first of the user's, else the stack's own.

        Registers the key where the account has none with this text. A node of no stack gets a key that is
        there, because nobody would delete a new one.

        Args:
            marker: Of the node; None for a node of no stack.
            template: Its template.
            note: As in `PreparesLaunches`; not needed while the launch itself is written down.

        Raises:
            ValidationError: A node of no stack, and the account has no such key.
        """
        given = template.ssh_public_keys[0] if template.ssh_public_keys else ""
        if marker is None:
            return self._any_key(given)
        public_key = given or ssh_key.own_public_key(self._state_dir, marker.stack_id)
        with self._lock:
            cached = (stack_prefix(marker.owner, marker.stack_id), public_key)
            if cached not in self._keys:
                self._keys[cached] = self._ensure_key(marker, public_key, note)
            return self._keys[cached]

    def ruleset_id(
        self,
        marker: Marker | None,
        region: str,
        ports: Iterable[int],
        note: Note = unnoted,
    ) -> str:
        """Id of the ruleset that lets the allowed sources reach these ports; empty where nobody is allowed.

        A ruleset that is there already gets today's sources, which holds for its older nodes too.
        """
        numbers = sorted(set(ports))
        if marker is None or not self._sources or not numbers:
            return ""
        name = _named(marker, "fw", f"{region} {numbers}")
        with self._lock:
            if name not in self._rulesets:
                rules = rules_for(self._sources, numbers)
                self._rulesets[name] = self._ensure_ruleset(name, region, rules, note)
            return self._rulesets[name]

    def forget(self) -> None:
        """Looks again before the next launch: the account has said that something is not there."""
        with self._lock:
            self._keys.clear()
            self._rulesets.clear()

    def delete(self, owner: str, stack_id: str) -> None:
        """Deletes keys and rulesets of a stack, and its key pair on this machine. Absent is success.

        Raises:
            ConflictError: A ruleset is still in use; it is so for a while after the last node's end.
        """
        self.forget()
        # All are tried before the first refusal is told, so that the next attempt has less to do.
        refused: list[errors.ConflictError] = []
        for ruleset in self._client.firewall_rulesets():
            if _is_ours(ruleset.name, owner, stack_id, "fw"):
                try:
                    _absent_is_fine(self._client.delete_firewall_ruleset, ruleset.id)
                except errors.ConflictError as error:
                    refused.append(error)
        for key in self._client.ssh_keys():
            if _is_ours(key.name, owner, stack_id, "ssh"):
                _absent_is_fine(self._client.delete_ssh_key, key.id)
        ssh_key.forget(self._state_dir, stack_id)
        if refused:
            raise refused[0]

    def _any_key(self, public_key: str) -> str:
        keys = self._client.ssh_keys()
        names = [key.name for key in keys if not public_key or ssh_key.same_key(key.public_key, public_key)]
        if not names:
            raise errors.ValidationError(
                "Lambda: the account has no SSH key for a node without a marker; add one in Lambda's console",
                cloud="lambda",
            )
        return min(names)

    def _ensure_key(self, marker: Marker, public_key: str, note: Note) -> str:
        if (found := self._registered(public_key)) is not None:
            return found
        name = _named(marker, "ssh", " ".join(public_key.split()[:2]))
        try:
            with note(name):
                return self._client.add_ssh_key(name, public_key).name or name
        except (errors.AmbiguousError, errors.ConflictError, errors.ValidationError):
            # The call may have been answered by nobody, or another process was first: the list knows.
            if (found := self._registered(public_key)) is not None:
                return found
            raise

    def _registered(self, public_key: str) -> str | None:
        same = [key.name for key in self._client.ssh_keys() if ssh_key.same_key(key.public_key, public_key)]
        return min(same, default=None)

    def _ensure_ruleset(self, name: str, region: str, rules: Sequence[Rule], note: Note) -> str:
        found = self._existing(name, region)
        if found is None:
            try:
                with note(name):
                    return self._client.create_firewall_ruleset(name, region, rules).id
            except errors.AmbiguousError:
                if (found := self._existing(name, region)) is None:
                    raise
        if not _same_rules(found, rules):
            self._client.change_firewall_ruleset(found.id, rules)
        return found.id

    def _existing(self, name: str, region: str) -> FirewallRuleset | None:
        same = [
            ruleset
            for ruleset in self._client.firewall_rulesets()
            if ruleset.name == name and ruleset.region is not None and ruleset.region.name == region
        ]
        return min(same, key=lambda ruleset: ruleset.id, default=None)


def rules_for(sources: Iterable[str], ports: Iterable[int]) -> list[Rule]:
    """One rule for each source and port."""
    return [
        {
            "protocol": "tcp",
            "port_range": [port, port],
            "source_network": source,
            "description": f"gpuplane: port {port}",
        }
        for source in sources
        for port in ports
    ]


def _same_rules(ruleset: FirewallRuleset, rules: Sequence[Rule]) -> bool:
    def key(protocol: object, ports: object, source: object) -> tuple[str, str, str]:
        return str(protocol), str(ports), str(source).removesuffix("/32")

    there = sorted(key(rule.protocol, rule.port_range, rule.source_network) for rule in ruleset.rules)
    return there == sorted(
        key(rule["protocol"], rule["port_range"], rule["source_network"]) for rule in rules
    )


def _named(marker: Marker, kind: str, content: str) -> str:
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return f"{stack_prefix(marker.owner, marker.stack_id)}{kind}-{digest}"


def _is_ours(name: str, owner: str, stack_id: str, kind: str) -> bool:
    return (
        re.fullmatch(re.escape(f"{stack_prefix(owner, stack_id)}{kind}-") + "[0-9a-f]{12}", name) is not None
    )


def _absent_is_fine(delete: Callable[[str], None], object_id: str) -> None:
    try:
        delete(object_id)
    except errors.NotFoundError:
        return
