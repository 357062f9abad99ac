"""From the values of a stack to its checked configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping

from pydantic import ValidationError

from stack_config.errors import StackConfigError
from stack_config.explain import explain
from stack_config.models import StackFile
from stack_config.policies import Policies
from stack_config.resolved import StackConfig
from stack_config.rules import broken_rules
from stack_config.stack_file import stack_file_name


def load(values: Mapping[str, object], stack: str) -> StackConfig:
    """Checks the configuration of a stack.

    Args:
        values: Key without its namespace -> value, as parsed JSON, secrets as plain text (or `Opaque`).
        stack: Name of the stack, for the name of its file in errors.

    Returns:
        The configuration; every reference in it resolves.

    Raises:
        StackConfigError: One or more rules are broken; it lists all that could be found at once.
    """
    file = stack_file_name(stack)
    # Pulumi.yaml gives every key a default, and that of this one object is an empty one.
    values = {key: value for key, value in values.items() if (key, value) != ("controlPlane", {})}
    try:
        # JSON mode is strict about types and yet takes lists for tuples and text for time stamps.
        parsed = StackFile.model_validate_json(json.dumps(values, default=str), by_alias=True, by_name=False)
    except ValidationError as error:
        raise StackConfigError(file, explain(error, values)) from None
    problems = broken_rules(parsed)
    if problems:
        raise StackConfigError(file, problems)
    return StackConfig(
        stack=stack.rsplit("/", 1)[-1],
        stack_id=parsed.stack_id,
        credentials=parsed.credentials,
        node_classes=parsed.node_classes,
        clusters=parsed.clusters,
        settings=parsed.settings,
        eks_clusters=parsed.eks_clusters,
        gke_clusters=parsed.gke_clusters,
        aks_clusters=parsed.aks_clusters,
        postgres_services=parsed.postgres_services,
        redis_services=parsed.redis_services,
        model_servers=parsed.model_servers,
        control_plane=parsed.control_plane,
        policies=parsed.policies,
        skypilot_servers=parsed.skypilot_servers,
        skypilot_clusters=parsed.skypilot_clusters,
        skypilot_tenants=parsed.skypilot_tenants,
    )


def load_policies(section: object, stack: str) -> Policies:
    """Checks the section `policies` alone: for who reads nothing else of a stack.

    Args:
        section: Its value, as parsed JSON.
        stack: Name of the stack, for the name of its file in errors.

    Raises:
        StackConfigError: It breaks a rule.
    """
    values = {"policies": section}
    try:
        return StackFile.model_validate_json(json.dumps(values), by_alias=True, by_name=False).policies
    except ValidationError as error:
        raise StackConfigError(stack_file_name(stack), explain(error, values)) from None
