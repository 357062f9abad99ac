"""How a policy is made: a pure function that looks, and the words that people read.

A finding has three lines: the rule, what breaks it and where, and the remedy. It names resources and their
keys, and of values only what the stack file has in clear text by design: regions, GPUs, hosts, ports, prices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies.hidden import hidden_paths
from policies.reading import Seen, plain, seen
from stack_config.policies import Rule, Stage, model_of, schema_of

Report = Callable[..., None]
_Rule = TypeVar("_Rule", bound=Rule)


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that a resource breaks.

    Attributes:
        resource: The resource.
        what: What is wrong with it, in words that hold for others like it.
    """

    resource: Seen
    what: str


def stack_policy(
    name: str,
    model: type[_Rule],
    look: Callable[[Sequence[Seen], _Rule, Stage], Iterable[Broken]],
    **words: Any,
) -> StackValidationPolicy:
    """A policy that looks at all resources at once, with their outputs.

    Args:
        name: Its name, which is that of its section in the stack file.
        model: The model of that section.
        look: Finds what breaks the rule.
        words: `display_name`, `description`, `remediation_steps`, `severity`.
    """

    def validate(args: StackValidationArgs, report: Report) -> None:
        limits, stage = told(args.get_config(), model)
        resources = [seen(resource) for resource in args.resources]
        for resource, line in grouped(look(resources, limits, stage)):
            report(f"{line}\nRemedy: {words['remediation_steps']}", resource.urn)

    return StackValidationPolicy(validate=validate, **common(name, words))


def resource_policy(
    name: str, model: type[_Rule], look: Callable[[Seen, _Rule, Stage], Iterable[str]], **words: Any
) -> ResourceValidationPolicy:
    """A policy that looks at one resource, before it is made; arguments as for `stack_policy`."""

    def validate(args: ResourceValidationArgs, report: Report) -> None:
        limits, stage = told(args.get_config(), model)
        resource = Seen(args.resource_type, args.name, args.urn, plain(args.props), hidden=hidden_paths())
        for what in look(resource, limits, stage):
            report(
                f"{resource.kind} '{resource.name}' {what}\nRemedy: {words['remediation_steps']}", args.urn
            )

    return ResourceValidationPolicy(validate=validate, **common(name, words))


def told(config: Mapping[str, Any], model: type[_Rule]) -> tuple[_Rule, Stage]:
    """The limits and the stage that a policy is told; the defaults where it is told nothing.

    Args:
        config: Properties; the engine makes floats of all numbers.
        model: The model of the policy's section.
    """
    limits = {key: value for key, value in config.items() if key != "stage"}
    return model.model_validate(limits, strict=False), config.get("stage", "none")


def grouped(found: Iterable[Broken]) -> list[tuple[Seen, str]]:
    """One line for what breaks a rule in the same way, such as all nodes of a cluster.

    Args:
        found: What breaks the rule.
    """
    groups: dict[tuple[str, str, str], list[Seen]] = {}
    for broken in found:
        resource = broken.resource
        groups.setdefault((resource.type, resource.parent, broken.what), []).append(resource)
    named = [(sorted(members, key=by_name), what) for (_, _, what), members in groups.items()]
    return [(members[0], f"{_names(members)} {what}") for members, what in named]


def by_name(resource: Seen) -> tuple[int, str]:
    """The engine has resources in another order each time; `chat-2` comes before `chat-10`."""
    return (len(resource.name), resource.name)


def _names(members: Sequence[Seen]) -> str:
    more = f" and {len(members) - 1} more" if len(members) > 1 else ""
    return f"{members[0].kind} '{members[0].name}'{more}"


def common(name: str, words: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments that policies of both kinds have.

    Args:
        name: Name of the policy.
        words: `display_name`, `description`, `remediation_steps`, `severity`.
    """
    assert isinstance(words["severity"], Severity)
    default = model_of(name).model_fields["enforcement"].default
    return {
        "name": name,
        "enforcement_level": EnforcementLevel(default),
        "config_schema": PolicyConfigSchema(properties=schema_of(name)),
        "url": f"docs/policies.md#{name}",
        **words,
    }
