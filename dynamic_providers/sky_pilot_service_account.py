"""SkyPilotServiceAccount: a tenant's account on a SkyPilot API server, and its token.

The server shows a token once. An answer or a state that is lost is therefore healed by rotating the account
that carries our name: its old token ends, and nobody can have been given it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pulumi
from pulumi import dynamic
from pydantic import Field

from dynamic_providers.base import inputs_in, own_props, parse
from dynamic_providers.host.call import progress
from dynamic_providers.host.diff import compare
from dynamic_providers.host.results import DetailedDiff, Kind, root_of
from dynamic_providers.host.secrets import conceal
from dynamic_providers.sky_pilot_servers import (
    ServerInputs,
    SkyPilotProvider,
    checked_on_server,
    secret_inputs,
    server_of,
)
from gpu_clouds.errors import ValidationError
from gpu_clouds.marker import DECLARED, Marker, stack_prefix
from gpu_clouds.skypilot.client import SkyPilotClient
from gpu_clouds.skypilot.errors import ApiError, ConnectionFailedError, cloud_errors
from gpu_clouds.skypilot.models import NewToken, ServiceAccountToken

TAKEN = "already_exists"
"""The server's word for an account of this name that exists."""
COMPUTED = ("accountName", "accountId", "tokenId", "accountToken", "expiresAt", "valid")
_NEVER = 0
"""Days until a rotated token expires, for one that never does."""
_REPLACING = frozenset({"stackId", "account"})


class ServiceAccountInputs(ServerInputs):
    """Inputs of a SkyPilotServiceAccount.

    Attributes:
        stack_id: The stack's 8 characters.
        account: Slug of the account, at most 24 characters; part of its name on the server.
        role: `user` or `admin`.
        expires_in_days: How long a token is good, days; for ever where it is left out.
        rotation: Any text; another text makes a new token, and the old one ends at once.
    """

    stack_id: str
    account: str
    role: Literal["user", "admin"] = "user"
    expires_in_days: int | None = Field(default=None, ge=1, le=3650)
    rotation: str = ""

    @property
    def name(self) -> str:
        """Its name on the server, which says that it is ours."""
        return f"{stack_prefix(DECLARED, self.stack_id)}{self.account}"


class SkyPilotServiceAccountProvider(SkyPilotProvider):
    """The account of one tenant; its id is the id of the token."""

    secret_outputs = frozenset({"token", "accountToken"})

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.CheckResult:
        """Names; for a new or changed one also whether the server has accounts at all."""
        parsed = parse(ServiceAccountInputs, news)
        rules = [] if parsed.model is None else [*_names(parsed.model, parsed.unknown)]
        return checked_on_server(self, olds, news, parsed, rules, self._server_problems)

    def diff(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> DetailedDiff:
        """Another name is another account; a token that is no longer good is made anew."""
        found = {
            path: Kind.UPDATE_REPLACE if root_of(path) in _REPLACING else kind
            for path, kind in compare(inputs_in(ServiceAccountInputs, olds), own_props(news)).items()
        }
        if olds.get("valid") is False:
            found["valid"] = Kind.UPDATE
        return DetailedDiff(found)

    def create(self, props: dict[str, Any]) -> dynamic.CreateResult:
        """Makes the account, or takes over the one of our name with a new token."""
        inputs = ServiceAccountInputs.model_validate(own_props(props))
        with cloud_errors():
            new = _made(self.client(inputs), inputs)
        return dynamic.CreateResult(new.token_id, _outputs(props, inputs, new))

    def read(self, id: str, props: dict[str, Any]) -> dynamic.ReadResult:
        """Whether it is there, its role, and whether its token is still good."""
        outs = own_props(props)
        if "stackId" not in outs:
            raise ValidationError(
                "a service account can't be imported, because its token is shown only when it is made: "
                "declare it, and the one of this name is taken over"
            )
        known = inputs_in(ServiceAccountInputs, outs)
        inputs = ServiceAccountInputs.model_validate(known)
        return self.read_or_kept(id, inputs, outs, known, lambda: self._read(id, inputs, outs))

    def _read(self, id: str, inputs: ServiceAccountInputs, outs: dict[str, Any]) -> dynamic.ReadResult:
        found = _find(self.client(inputs), lambda each: each.token_id == outs.get("tokenId", id))
        if found is None:
            return dynamic.ReadResult("", {})
        outs.pop("role", None)  # what has its default is left out, as in the inputs
        if "admin" in found.service_account_roles:
            outs["role"] = "admin"
        outs["valid"] = self._accepts(inputs, str(outs.get("accountToken", "")))
        if not outs["valid"]:
            progress(
                f"the token of service account {inputs.name} is not accepted any more (expired, or rotated "
                "elsewhere): the next up makes a new one",
                keep=True,
            )
        return dynamic.ReadResult(id, outs, inputs_in(ServiceAccountInputs, outs))

    def update_preview(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
        """Everything but a token that is made anew stays known."""
        known = {key: olds[key] for key in COMPUTED if key in olds}
        if _needs_token(olds, news):
            known.pop("accountToken", None)
            known.pop("expiresAt", None)
        return known

    def update(self, id: str, olds: dict[str, Any], news: dict[str, Any]) -> dynamic.UpdateResult:
        """Role in place; a new token where one is asked for or the old one is no longer good."""
        inputs = ServiceAccountInputs.model_validate(own_props(news))
        client = self.client(inputs)
        with cloud_errors():
            found = _find(client, lambda each: each.token_name == inputs.name)
            if found is None:
                return dynamic.UpdateResult(_outputs(news, inputs, _made(client, inputs)))
            if inputs.role not in found.service_account_roles:
                client.set_service_account_role(found.token_id, inputs.role)
            if _needs_token(olds, news) or found.token_id != olds.get("tokenId"):
                return dynamic.UpdateResult(_outputs(news, inputs, _rotated(client, found, inputs)))
        return dynamic.UpdateResult({**{k: olds[k] for k in COMPUTED if k in olds}, **own_props(news)})

    def delete(self, id: str, props: dict[str, Any]) -> None:
        """Ends the token and the account. Absent is success."""
        server = server_of(props)
        with self.needed(server):
            try:
                self.client(server).delete_service_account_token(str(props.get("tokenId") or id))
            except ApiError as error:
                if not error.is_not_found:
                    raise

    def _server_problems(
        self, inputs: ServiceAccountInputs, unknown: frozenset[str]
    ) -> Iterator[dynamic.CheckFailure]:
        server = self.client(inputs).check_health().server
        if server is not None and not server.service_account_token_enabled:
            yield dynamic.CheckFailure(
                "account",
                "this SkyPilot server makes no service accounts: start it with authentication and "
                "ENABLE_SERVICE_ACCOUNTS=true",
            )

    def _accepts(self, inputs: ServiceAccountInputs, token: str) -> bool:
        """Whether the server still takes the token; one that can't be tried counts as good."""
        if not token:
            return False
        server = self.client(inputs).connection
        own = ServerInputs(
            endpoint=server.endpoint,
            token=token,
            ca_file=server.ca_file,
            allow_insecure=server.allow_insecure,
        )
        try:
            self.client(own).current_user()
        except ApiError as error:
            return not error.is_unauthorized
        return True


class SkyPilotServiceAccount(dynamic.Resource, module="skypilot", name="SkyPilotServiceAccount"):
    """**Pulumi type:** `pulumi-python:dynamic/skypilot:SkyPilotServiceAccount`. An account and its token.

    Args:
        name: Name of the resource; `account` if that is not given.
        args: Inputs by their camelCase names, see `ServiceAccountInputs`.
        opts: Resource options.

    Attributes:
        accountToken: The token; a secret.
        accountId: Whom the server takes its holder for; for `allowedUsers` of a workspace.
        accountName: Its name on the server.
        expiresAt: Seconds since the epoch; absent for never.
        valid: Whether the server took the token when it was last looked at.
    """

    accountToken: pulumi.Output[str]
    accountId: pulumi.Output[str]
    accountName: pulumi.Output[str]
    tokenId: pulumi.Output[str]
    expiresAt: pulumi.Output[float | None]
    valid: pulumi.Output[bool]

    def __init__(
        self, name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {"account": name, **secret_inputs(args), **dict.fromkeys(COMPUTED)}
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["token", "accountToken"])
        super().__init__(
            SkyPilotServiceAccountProvider(),
            name,
            props,
            pulumi.ResourceOptions.merge(opts or pulumi.ResourceOptions(), hidden),
        )


def _names(inputs: ServiceAccountInputs, unknown: frozenset[str]) -> Iterator[dynamic.CheckFailure]:
    for part, stack_id, node in (
        ("stackId", inputs.stack_id, "x"),
        ("account", "00000000", inputs.account),
    ):
        if part not in unknown:
            try:
                Marker(DECLARED, stack_id, node, "00000000")
            except ValidationError as error:
                yield dynamic.CheckFailure(part, error.message)


def _needs_token(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    changed = any(olds.get(key) != news.get(key) for key in ("rotation", "expiresInDays"))
    return changed or olds.get("valid") is False


def _made(client: SkyPilotClient, inputs: ServiceAccountInputs) -> NewToken:
    """A new account; where one of our name exists, that one with a new token."""
    try:
        return client.create_service_account_token(
            inputs.name, expires_in_days=inputs.expires_in_days, role=inputs.role
        )
    except ApiError as error:
        lost = isinstance(error, ConnectionFailedError) and error.sent
        if not lost and error.error_code != TAKEN:
            raise
        found = _find(client, lambda each: each.token_name == inputs.name)
        if found is None:
            raise
    progress(f"service account {inputs.name} exists already: it gets a new token")
    if inputs.role not in found.service_account_roles:
        client.set_service_account_role(found.token_id, inputs.role)
    return _rotated(client, found, inputs)


def _rotated(client: SkyPilotClient, found: ServiceAccountToken, inputs: ServiceAccountInputs) -> NewToken:
    new = client.rotate_service_account_token(
        found.token_id, expires_in_days=inputs.expires_in_days or _NEVER
    )
    return new.model_copy(
        update={"service_account_user_id": new.service_account_user_id or found.service_account_user_id}
    )


def _find(client: SkyPilotClient, fits: Any) -> ServiceAccountToken | None:
    return next((each for each in client.service_account_tokens() if fits(each)), None)


def _outputs(props: Mapping[str, Any], inputs: ServiceAccountInputs, new: NewToken) -> dict[str, Any]:
    conceal([new.token])
    outs = {
        **own_props(props),
        "accountName": inputs.name,
        "accountId": new.service_account_user_id,
        "tokenId": new.token_id,
        "accountToken": new.token,
        "valid": True,
    }
    return outs if new.expires_at is None else {**outs, "expiresAt": new.expires_at}
