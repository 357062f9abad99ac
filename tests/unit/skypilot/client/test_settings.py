from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_clouds.errors import ValidationError
from gpu_clouds.redaction import redact
from gpu_clouds.skypilot.settings import SkyPilotSettings, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300.0),
        ("1.5s", 1.5),
        ("250ms", 0.25),
        ("1h", 3600.0),
        ("1h30m", 5400.0),
        ("2m0.5s", 120.5),
        ("0.5m", 30.0),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "X") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "5 m", "-5s", "5M", "1e3s", "5m ", "٥m", "0s", "0.0m", "8d", "200h", "nan", "5s5"]
)
def test_what_is_no_duration_is_one_clear_error(text: str) -> None:
    with pytest.raises(ValidationError, match="SKYPILOT_REQUEST_TIMEOUT: ") as caught:
        parse_duration(text, "SKYPILOT_REQUEST_TIMEOUT")
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_a_positive_duration_or_an_error(text: str) -> None:
    try:
        seconds = parse_duration(text, "X")
    except ValidationError:
        return
    assert math.isfinite(seconds)
    assert seconds > 0


@given(st.integers(1, 600), st.sampled_from([("s", 1), ("m", 60)]))
def test_whole_durations_are_read_exactly(number: int, unit: tuple[str, int]) -> None:
    assert parse_duration(f"{number}{unit[0]}", "X") == number * unit[1]


def test_the_environment_by_its_names() -> None:
    settings = SkyPilotSettings.from_environment(
        {
            "SKYPILOT_API_SERVER_URL": " https://sky.example.com ",
            "SKYPILOT_SERVICE_ACCOUNT_TOKEN": "sky_canary-token-1",
            "SKYPILOT_REQUEST_TIMEOUT": "1m",
            "SKYPILOT_LAUNCH_TIMEOUT": "20m",
            "SKYPILOT_TERMINATE_TIMEOUT": "2m",
            "SKYPILOT_STATUS_TIMEOUT": "45s",
            "SKYPILOT_MAX_RETRIES": "0",
            "SKYPILOT_RETRY_BACKOFF": "500ms",
        }
    )
    assert settings == SkyPilotSettings(
        "https://sky.example.com", "sky_canary-token-1", 60.0, 1200.0, 120.0, 45.0, 0, 0.5
    )
    assert "canary" not in repr(settings)
    assert "canary" not in redact("the token was sky_canary-token-1")


def test_without_variables_the_defaults_hold() -> None:
    assert SkyPilotSettings.from_environment({}) == SkyPilotSettings(
        "", "", 300.0, 600.0, 300.0, 30.0, 3, 1.0
    )
    assert SkyPilotSettings.from_environment({"SKYPILOT_LAUNCH_TIMEOUT": ""}).launch_timeout_s == 600.0


@pytest.mark.parametrize(
    "name",
    [
        "SKYPILOT_REQUEST_TIMEOUT",
        "SKYPILOT_LAUNCH_TIMEOUT",
        "SKYPILOT_TERMINATE_TIMEOUT",
        "SKYPILOT_STATUS_TIMEOUT",
        "SKYPILOT_MAX_RETRIES",
        "SKYPILOT_RETRY_BACKOFF",
    ],
)
def test_a_bad_variable_is_named(name: str) -> None:
    with pytest.raises(ValidationError, match=f"^{name}: 'soon'"):
        SkyPilotSettings.from_environment({name: "soon"})


@pytest.mark.parametrize("text", ["-1", "1.5", "21", "9" * 400, "٣"])
def test_retries_are_a_small_whole_number(text: str) -> None:
    with pytest.raises(ValidationError, match="SKYPILOT_MAX_RETRIES"):
        SkyPilotSettings.from_environment({"SKYPILOT_MAX_RETRIES": text})
