"""Every wrong program is refused by the validator alone, in milliseconds; the right ones are not."""

from __future__ import annotations

import pytest

from engine.standins.aws import CLOUD as AWS
from engine.standins.azure_native import CLOUD as AZURE
from engine.standins.gcp import CLOUD as GCP
from engine.standins.sdk_types import Sdk
from engine.standins.validation import Validator
from tests.kubernetes.wrong_programs.preludes import RIGHT
from tests.kubernetes.wrong_programs.registrations import registrations
from tests.kubernetes.wrong_programs.table import ENUMS, RULES, TYPES, WRONG, Wrong


@pytest.fixture(scope="module")
def validators() -> dict[str, Validator]:
    return {cloud.package: Validator(cloud, Sdk(cloud.package)) for cloud in (AWS, GCP, AZURE)}


@pytest.mark.parametrize("cloud", RIGHT)
def test_what_they_are_made_from_is_right(validators, cloud):
    found = registrations(cloud, RIGHT[cloud])
    assert found
    for token, inputs in found:
        assert validators[cloud].findings(token, inputs) == []


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_refused_with_the_property_and_the_rule(validators, wrong: Wrong):
    try:
        found = registrations(wrong.cloud, wrong.program)
    except TypeError as error:
        lines = [str(error)]
    else:
        lines = [
            finding.line
            for token, inputs in found
            for finding in validators[wrong.cloud].findings(token, inputs)
        ]
    assert len(lines) == 1, f"one mistake, one line: {lines}"
    assert wrong.property in lines[0] and wrong.rule in lines[0]
    assert "\n" not in lines[0]


def test_how_many_there_are():
    assert len(TYPES) + len(ENUMS) == 19
    assert len(RULES) >= 20
    assert len({wrong.name for wrong in WRONG}) == len(WRONG)
