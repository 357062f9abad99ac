"""What a stack file says of a gateway, in the form in which the gateway reads it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stack_config.control_plane import ControlPlane, GatewayLimits, keys_of, tenant_of, tenants_of

KEY_PREFIX = "sk-gp-"
"""How every key begins, so that it is known for what it is where it should not be."""
KEY_LENGTH = 43
"""Letters and digits after that; 6 bits each, so 256 bits."""
_SHOWN = len(KEY_PREFIX) + 4
"""Characters of a key that the gateway may show, to tell keys by."""


def api_key(secret: str) -> str:
    """The key that clients use.

    Args:
        secret: Its random part.
    """
    return f"{KEY_PREFIX}{secret}"


def seed(plane: ControlPlane, keys: Mapping[str, str]) -> str:
    """The seed file: tenants, keys by their hash alone, models and limits, as JSON.

    Args:
        plane: The section of the stack file.
        keys: Name of each key -> the key.
    """
    return json.dumps(
        {
            "tenants": [
                {"name": name, "limits": _limits(tenant.limits), "weight": tenant.weight}
                for name, tenant in tenants_of(plane).items()
            ],
            "keys": [
                {
                    "id": name,
                    "tenant": tenant_of(key, plane),
                    "sha256": hashlib.sha256(keys[name].encode()).hexdigest(),
                    "prefix": keys[name][:_SHOWN],
                    "scopes": list(key.scopes),
                    "models": list(key.models),
                    "limits": _limits(key.limits),
                    "expiresAt": key.expires_at.timestamp() if key.expires_at else 0.0,
                }
                for name, key in keys_of(plane).items()
            ],
            "models": [
                {
                    "name": name,
                    "targets": [{"model": each.model, "weight": each.weight} for each in model.targets],
                    "limits": _limits(model.limits),
                    "promptUsdPerMillion": model.prompt_usd_per_million,
                    "completionUsdPerMillion": model.completion_usd_per_million,
                }
                for name, model in plane.models.items()
            ],
            "limits": _limits(plane.limits),
        },
        sort_keys=True,
    )


def _limits(limits: GatewayLimits) -> dict[str, Any]:
    return limits.model_dump(by_alias=True)
