"""Calls about who uses the server: workspaces, tokens, users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpu_clouds import redaction
from gpu_clouds.answers import Kind
from gpu_clouds.errors import ValidationError
from gpu_clouds.skypilot.calls import Calls, given, many, mapping, nothing, one
from gpu_clouds.skypilot.models import NewToken, ServiceAccountToken, User, Workspaces

_TOKENS = "/users/service-account-tokens"


class AdminCalls(Calls):
    """Workspaces, service-account tokens, users and roles."""

    def workspaces(self) -> Workspaces:
        """Name -> configuration of every workspace that the caller may see."""
        return self._submit("list_workspaces", "/workspaces", mapping, method="GET").result()

    def create_workspace(self, name: str, config: Mapping[str, Any]) -> Workspaces:
        """Makes a workspace; all workspaces afterwards.

        It is sent again only where nothing was sent: a lost answer leaves a doubt, and the list tells.

        Args:
            name: Its name.
            config: `private`, `allowed_users`, `<cloud>: {disabled}`.
        """
        fields = {"workspace_name": name, "config": dict(config)}
        return self._submit(
            "create_workspace", "/workspaces/create", mapping, fields, kind=Kind.CREATE, once=True
        ).result()

    def update_workspace(self, name: str, config: Mapping[str, Any]) -> Workspaces:
        """Replaces the configuration of a workspace; all workspaces afterwards."""
        fields = {"workspace_name": name, "config": dict(config)}
        return self._submit(
            "update_workspace", "/workspaces/update", mapping, fields, kind=Kind.CHANGE
        ).result()

    def delete_workspace(self, name: str) -> Workspaces:
        """Ends a workspace; all workspaces afterwards. The server refuses while clusters are in it."""
        return self._submit(
            "delete_workspace", "/workspaces/delete", mapping, {"workspace_name": name}, kind=Kind.DELETE
        ).result()

    def server_config(self) -> dict[str, Any]:
        """The whole configuration of the server. It may hold secrets: never log it."""
        return self._submit("get_config", "/workspaces/config", mapping, method="GET").result()

    def update_server_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Replaces the whole configuration of the server; what it is afterwards."""
        return self._submit(
            "update_config", "/workspaces/config", mapping, {"config": dict(config)}, kind=Kind.CHANGE
        ).result()

    def service_account_tokens(self) -> list[ServiceAccountToken]:
        """Every service-account token, without values."""
        return self._direct("list_tokens", _TOKENS, many(ServiceAccountToken), method="GET")

    def create_service_account_token(
        self, name: str, *, expires_in_days: int | None = None, role: str | None = None
    ) -> NewToken:
        """Makes a service account and its token, whose value is shown this once.

        It is sent again only where nothing was sent, because a token whose value was lost is of no use.

        Args:
            name: Its name; a name that is taken is refused (`error_code` `already_exists`).
            expires_in_days: Days until it expires; None for never.
            role: `admin` or `user`; None for the server's default.
        """
        fields = given(token_name=name, expires_in_days=expires_in_days, role=role)
        return self._direct("create_token", _TOKENS, _new_token, fields, kind=Kind.CREATE, once=True)

    def rotate_service_account_token(self, token_id: str, *, expires_in_days: int | None = None) -> NewToken:
        """Gives a token a new value; the old one is refused from now on.

        Args:
            token_id: The token.
            expires_in_days: Days until it expires; 0 for never, None to keep what is left.
        """
        fields = given(token_id=_id(token_id), expires_in_days=expires_in_days)
        return self._direct("rotate_token", f"{_TOKENS}/rotate", _new_token, fields, kind=Kind.CHANGE)

    def delete_service_account_token(self, token_id: str) -> None:
        """Ends a token and its service account; `is_not_found` where there is none."""
        fields = {"token_id": _id(token_id)}
        self._direct("delete_token", f"{_TOKENS}/delete", nothing, fields, kind=Kind.DELETE)

    def service_account_roles(self, token_id: str) -> list[str]:
        """Roles of a token's service account."""
        found = self._direct("get_token_role", f"{_TOKENS}/get-role", mapping, {"token_id": _id(token_id)})
        roles = found.get("roles")
        return [str(role) for role in roles] if isinstance(roles, list) else []

    def set_service_account_role(self, token_id: str, role: str) -> None:
        """Gives a token's service account another role."""
        fields = {"token_id": _id(token_id), "role": role}
        self._direct("set_token_role", f"{_TOKENS}/update-role", nothing, fields, kind=Kind.CHANGE)

    def users(self) -> list[User]:
        """Every user that is a person."""
        return self._direct("list_users", "/users", many(User), method="GET")

    def current_user(self) -> User:
        """Whom the server takes us for, and our role."""
        return self._direct("get_role", "/users/role", one(User), method="GET")

    def set_user_role(self, user_id: str, role: str) -> None:
        """Gives a user another role.

        Args:
            user_id: The user.
            role: `admin` or `user`.
        """
        self._direct(
            "set_user_role", "/users/update", nothing, {"user_id": user_id, "role": role}, kind=Kind.CHANGE
        )


def _new_token(value: object) -> NewToken:
    new = NewToken.model_validate(value)
    if not new.token:
        raise ValueError("it has no token")
    redaction.remember(new.token)
    return new


def _id(token_id: str) -> str:
    if not token_id:
        raise ValidationError("the id of the service-account token is empty")
    return token_id
