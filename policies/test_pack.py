"""What holds for all policies, and what the pack's server makes of a stack's configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime.proto import analyzer_pb2
from pulumi_policy import ResourceValidationPolicy, StackValidationPolicy
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from policies.pack import POLICIES
from policies.reading import UNKNOWN, plain
from policies.rules import told
from policies.serving import KEY, as_request, policies_of
from stack_config import StackConfigError
from stack_config.policies import NAMES, BudgetRule, DevOnDemandRule, Policies, model_of


def test_every_policy_has_a_section_in_the_stack_file_and_a_test_beside_it() -> None:
    assert [policy.name for policy in POLICIES] == list(NAMES)
    beside = {path.name for path in Path(__file__).parent.glob("test_*.py")}
    assert {f"test_{field}.py" for field in NAMES.values()} <= beside


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_policy_says_what_it_is(policy: StackValidationPolicy | ResourceValidationPolicy) -> None:
    assert policy.severity and policy.display_name and policy.description and policy.remediation_steps
    assert "\n" not in policy.description + policy.remediation_steps
    assert policy.enforcement_level is not None
    assert policy.enforcement_level.value == model_of(policy.name)().enforcement


class _Config(dict[str, str]):
    """A stack's configuration that notes what is read of it."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.read: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        self.read.append(key)
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("the whole configuration is read")


def test_one_key_of_the_configuration_is_read_and_no_other() -> None:
    config = _Config({KEY: '{"stage": "dev", "budget": {"hourlyUsd": 3}}', "gpuplane:credentials": "secret"})
    found = policies_of(config, "prod")
    assert (found.stage, found.budget.hourly_usd, config.read) == ("dev", 3.0, [KEY])
    assert policies_of(_Config({}), "prod") == Policies()


def test_a_wrong_limit_names_file_and_key() -> None:
    with pytest.raises(StackConfigError, match=r"Pulumi\.prod\.yaml: gpuplane:policies\.budget\.hourlyUsd: "):
        policies_of({KEY: '{"budget": {"hourlyUsd": "much"}}'}, "prod")


def test_the_engines_own_configuration_and_the_stacks_mean_the_same() -> None:
    policies = Policies.model_validate_json(
        '{"devOnDemand": {"enforcement": "advisory", "maxGpus": 3}, "stage": "dev"}'
    )
    sent = as_request(policies).policyConfig
    assert set(sent) == set(NAMES)
    assert sent["dev-on-demand"].enforcementLevel == analyzer_pb2.ADVISORY
    assert sent["budget"].enforcementLevel == analyzer_pb2.MANDATORY
    properties = dict(sent["dev-on-demand"].properties)
    assert told(properties, DevOnDemandRule) == (DevOnDemandRule(enforcement="mandatory", max_gpus=3), "dev")
    assert told(dict(sent["budget"].properties), BudgetRule) == (BudgetRule(), "dev")
    assert told({}, BudgetRule) == (BudgetRule(), "none")


def test_what_is_not_known_yet_stays_so_beside_what_is() -> None:
    props = unknown_checking_proxy({"a": {"b": UNKNOWN_STRING_VALUE, "c": [1.0, UNKNOWN_STRING_VALUE]}})
    assert plain(props) == {"a": {"b": UNKNOWN, "c": [1.0, UNKNOWN]}}
