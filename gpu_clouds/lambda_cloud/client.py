"""Lambda's Cloud API v1, call by call.

Paths, fields and statuses are those of Lambda's published OpenAPI document, version 1.10.0. Nothing is paged.
The account-wide firewall rules (`/firewall-rules`, `/firewall-rulesets/global`) are not here on purpose: they
are the customer's, and writing them replaces the whole list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError as PydanticError

from gpu_clouds import errors
from gpu_clouds.answers import Answer, Kind
from gpu_clouds.connection import Connection
from gpu_clouds.lambda_cloud.errors import LAUNCH_PAUSE_S, PAUSE_S, classify
from gpu_clouds.lambda_cloud.models import (
    FileSystem,
    FirewallRuleset,
    Image,
    InstanceTypeItem,
    Launched,
    Machine,
    Model,
    Region,
    SshKey,
)
from gpu_clouds.pacing import FixedRatePacer, SharedTimes, pacing_file
from gpu_clouds.transport import CREATE_S, READ_S, STATUS_S, Request, make_client

_M = TypeVar("_M", bound=Model)

Body = Mapping[str, object]


class LambdaClient:
    """Typed calls; every method may raise the errors of `gpu_clouds.errors`.

    Args:
        connection: Account, endpoint, clock, cancel.
        transport: Takes the network's place in tests.
    """

    def __init__(self, connection: Connection, transport: httpx.BaseTransport | None = None) -> None:
        credentials = connection.credentials
        self._cancel = connection.cancel
        self._pacer = pacer = FixedRatePacer(
            f"Lambda, credential set {credentials.name!r}",
            connection.clock,
            SharedTimes(pacing_file(connection.state_dir, credentials.cloud, credentials.api_key)),
            interval_s=PAUSE_S,
            create_interval_s=LAUNCH_PAUSE_S,
        )
        self._http = make_client(connection, "Lambda", pacer=pacer, classify=classify, transport=transport)

    def close(self) -> None:
        """Gives connections back."""
        self._http.close()

    # Instances

    def list_instances(self) -> list[Machine]:
        """All instances of the account, those that have just ended included."""
        return self._list("list_instances", "/instances", Machine)

    def get_instance(self, instance_id: str) -> Machine:
        """One instance; NotFoundError where there is none."""
        path = f"/instances/{_quoted(instance_id)}"
        answer = self._http.call(Request(Kind.READ, "get_instance", "GET", path, read_timeout_s=STATUS_S))
        return self._one(Kind.READ, "get_instance", Machine, answer)

    def wait_turn(self) -> None:
        """Waits for the account's turn to launch, and keeps it for a launch of this thread."""
        self._pacer.take_turn(self._cancel)

    def launch(self, body: Body, secrets: Iterable[str] = ()) -> str:
        """Sends one launch, once.

        Args:
            body: As `InstanceLaunchRequest`, for one instance: there is no count.
            secrets: Values that no error may carry.

        Returns:
            The id of the instance, which is all that Lambda tells.
        """
        request = Request(
            Kind.CREATE,
            "launch",
            "POST",
            "/instance-operations/launch",
            json=body,
            read_timeout_s=CREATE_S,
            secrets=tuple(secrets),
        )
        answer = self._http.call(request)
        ids = [each for each in self._one(Kind.CREATE, "launch", Launched, answer).instance_ids if each]
        if len(ids) != 1:
            raise self._odd(Kind.CREATE, "launch", answer, f"{len(ids)} ids are in the answer instead of one")
        return ids[0]

    def terminate(self, instance_id: str) -> None:
        """Asks for the end of an instance.

        Raises:
            NotFoundError: There is none.
            ConflictError: Lambda does not say what is wrong; recorded for an instance that is ending already.
        """
        body = {"instance_ids": [instance_id]}
        self._write(Kind.DELETE, "terminate", "POST", "/instance-operations/terminate", body, STATUS_S)

    def restart(self, instance_id: str) -> None:
        """Restarts an instance; ConflictError where its state does not allow it."""
        body = {"instance_ids": [instance_id]}
        self._write(Kind.CHANGE, "restart", "POST", "/instance-operations/restart", body)

    def rename(self, instance_id: str, name: str) -> Machine:
        """Gives an instance another name, at most 64 characters; NotFoundError where there is none."""
        path = f"/instances/{_quoted(instance_id)}"
        answer = self._write(Kind.CHANGE, "rename", "POST", path, {"name": name})
        return self._one(Kind.CHANGE, "rename", Machine, answer)

    # What there is

    def instance_types(self) -> dict[str, InstanceTypeItem]:
        """Every type by its name, with its price and the regions that have some free."""
        answer = self._read("list_instance_types", "/instance-types")
        data = _data(answer)
        if not isinstance(data, dict):
            raise self._odd(Kind.READ, "list_instance_types", answer, "no types are in the answer")
        return {
            str(name): self._parsed(Kind.READ, "list_instance_types", InstanceTypeItem, item, answer)
            for name, item in data.items()
        }

    def images(self) -> list[Image]:
        """Every image, once for each region."""
        return self._list("list_images", "/images", Image)

    def regions(self) -> list[Region]:
        """Every region."""
        return self._list("list_regions", "/regions", Region)

    # SSH keys

    def ssh_keys(self) -> list[SshKey]:
        """The account's keys."""
        return self._list("list_ssh_keys", "/ssh-keys", SshKey)

    def add_ssh_key(self, name: str, public_key: str) -> SshKey:
        """Registers a public key under a name of at most 64 characters."""
        body = {"name": name, "public_key": public_key}
        answer = self._write(Kind.CHANGE, "add_ssh_key", "POST", "/ssh-keys", body)
        return self._one(Kind.CHANGE, "add_ssh_key", SshKey, answer)

    def delete_ssh_key(self, key_id: str) -> None:
        """Forgets a key; instances that have it keep it."""
        self._write(Kind.DELETE, "delete_ssh_key", "DELETE", f"/ssh-keys/{_quoted(key_id)}", None, STATUS_S)

    # Firewall rulesets

    def firewall_rulesets(self) -> list[FirewallRuleset]:
        """The account's rulesets, without the global one."""
        return self._list("list_firewall_rulesets", "/firewall-rulesets", FirewallRuleset)

    def create_firewall_ruleset(self, name: str, region: str, rules: Sequence[Body]) -> FirewallRuleset:
        """Makes a ruleset in a region; names are not unique."""
        body = {"name": name, "region": region, "rules": list(rules)}
        operation = "create_firewall_ruleset"
        answer = self._write(Kind.CHANGE, operation, "POST", "/firewall-rulesets", body)
        return self._one(Kind.CHANGE, operation, FirewallRuleset, answer)

    def change_firewall_ruleset(self, ruleset_id: str, rules: Sequence[Body]) -> FirewallRuleset:
        """Replaces the rules of a ruleset, for the instances that have it too."""
        path, operation = f"/firewall-rulesets/{_quoted(ruleset_id)}", "change_firewall_ruleset"
        answer = self._write(Kind.CHANGE, operation, "PATCH", path, {"rules": list(rules)})
        return self._one(Kind.CHANGE, operation, FirewallRuleset, answer)

    def delete_firewall_ruleset(self, ruleset_id: str) -> None:
        """Ends a ruleset; ConflictError while an instance has it, and for a while after that one's end."""
        path = f"/firewall-rulesets/{_quoted(ruleset_id)}"
        self._write(Kind.DELETE, "delete_firewall_ruleset", "DELETE", path, None, STATUS_S)

    # File systems

    def file_systems(self) -> list[FileSystem]:
        """The account's file systems."""
        return self._list("list_file_systems", "/file-systems", FileSystem)

    def create_file_system(self, name: str, region: str) -> FileSystem:
        """Makes a file system.

        Args:
            name: A letter, then letters, digits and hyphens, at most 60 in all; unique in the account.
            region: Where instances can mount it.

        Raises:
            ConflictError: The name is taken.
        """
        body = {"name": name, "region": region}
        answer = self._write(Kind.CHANGE, "create_file_system", "POST", "/filesystems", body)
        return self._one(Kind.CHANGE, "create_file_system", FileSystem, answer)

    def delete_file_system(self, file_system_id: str) -> None:
        """Ends a file system and what is on it; ConflictError while in use, and for a while after that."""
        path = f"/filesystems/{_quoted(file_system_id)}"
        self._write(Kind.DELETE, "delete_file_system", "DELETE", path, None, STATUS_S)

    # Sending, and reading answers

    def _read(self, operation: str, path: str) -> Answer:
        return self._http.call(Request(Kind.READ, operation, "GET", path))

    def _write(
        self, kind: Kind, operation: str, method: str, path: str, body: Body | None, timeout_s: float = READ_S
    ) -> Answer:
        return self._http.call(Request(kind, operation, method, path, json=body, read_timeout_s=timeout_s))

    def _list(self, operation: str, path: str, model: type[_M]) -> list[_M]:
        answer = self._read(operation, path)
        data = _data(answer)
        if not isinstance(data, list):
            raise self._odd(Kind.READ, operation, answer, "no list is in the answer")
        return [self._parsed(Kind.READ, operation, model, item, answer) for item in data if item is not None]

    def _one(self, kind: Kind, operation: str, model: type[_M], answer: Answer) -> _M:
        return self._parsed(kind, operation, model, _data(answer), answer)

    def _parsed(self, kind: Kind, operation: str, model: type[_M], item: object, answer: Answer) -> _M:
        try:
            return model.model_validate(item)
        except PydanticError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"]) or "data"
            raise self._odd(kind, operation, answer, f"cannot be read at {where!r}") from None

    def _odd(self, kind: Kind, operation: str, answer: Answer, why: str) -> errors.GpuCloudError:
        """A success that can not be read: for a write nobody knows what was done."""
        error = errors.AmbiguousError if kind.writes else errors.UnknownCloudError
        return error(
            f"Lambda, credential set {self._http.credentials!r}: {operation}: HTTP {answer.status}, "
            f"but {why}",
            cloud="lambda",
            status=answer.status,
            request_id=answer.request_id,
        )


def _data(answer: Answer) -> object:
    return answer.json.get("data") if isinstance(answer.json, dict) else None


def _quoted(identifier: str) -> str:
    return quote(identifier, safe="")
