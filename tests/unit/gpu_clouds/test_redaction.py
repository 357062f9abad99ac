"""Nothing that opens a door survives. Every credential here is put together at run time."""

from __future__ import annotations

import logging
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_clouds import redaction
from gpu_clouds.credentials import CredentialSet
from gpu_clouds.logs import RedactingFormatter, structured

A = "Zq7" * 8  # stands for the secret part
DASHES = "-" * 5

CASES = [
    ("bearer header", f"Authorization: Bearer {A}", A),
    ("bearer in prose", f"refused bearer {A}, sorry", A),
    ("bearer in JSON", '{"authorization": "Bearer ' + A + '"}', A),
    ("basic header", f"authorization: Basic {A}==", A),
    ("bare authorization", f"Authorization: {A}", A),
    ("query key", f"GET https://h/graphql?api_key={A}&x=1", A),
    ("query token", f"GET https://h/?x=1&access_token={A}", A),
    ("JSON key", '{"apiKey": "' + A + '"}', A),
    ("JSON in JSON", '{\\"api_key\\":\\"' + A + '\\"}', A),
    ("assignment", f"RUNPOD_API_KEY={A} sent", A),
    ("environment name", f"VLLM_API_KEY={A}", A),
    ("HF token by name", f"HF_TOKEN: {A}", A),
    ("password with spaces", 'password="' + A + ' and more"', "and more"),
    ("URL password", f"https://user:{A}@host/x", A),
    ("RunPod key by shape", f"key rpa_{A} is bad", A),
    ("HF token by shape", f"loading with hf_{A}", A),
    ("AWS key id", "AKIA" + "Q" * 16, "AKIA" + "Q" * 16),
    ("JWT", f"got eyJ{A}.{A}.{A}", A),
    ("private key", f"{DASHES}BEGIN RSA PRIVATE KEY{DASHES}\n{A}\n{DASHES}END RSA PRIVATE KEY{DASHES}", A),
    ("cut-off private key", f"{DASHES}BEGIN PRIVATE KEY{DASHES}\n{A}", A),
]


@pytest.mark.parametrize(("what", "line", "must_not_survive"), CASES, ids=[case[0] for case in CASES])
def test_secrets_do_not_survive(what: str, line: str, must_not_survive: str) -> None:
    assert must_not_survive in line
    cleaned = redaction.redact(line)
    assert must_not_survive not in cleaned
    assert redaction.MASK in cleaned


@pytest.mark.parametrize(
    "line",
    [
        "RunPod: create_pod: HTTP 400: There are no longer any instances available",
        "missing bearer token",
        "pod gp-p-abcdefgh-web-0-1a2b3c4d in EU-RO-1: 3.99 USD/h",
        "tokens per second: unknown key 'disk' in nodeClasses",
        "GET /v2/pods/5xpma5eg46tqjq 200 in 12 ms",
    ],
)
def test_ordinary_lines_stay(line: str) -> None:
    assert redaction.redact(line) == line


secrets = st.text(
    string.ascii_letters + string.digits + "+/=_-.$*[](){}|^\\ ", min_size=6, max_size=60
).filter(lambda text: len(text.strip()) >= 6 and text.strip() not in redaction.MASK)


@settings(deadline=None)
@given(secrets, st.text(max_size=40), st.text(max_size=40))
def test_a_known_value_is_removed_wherever_it_stands(secret: str, before: str, after: str) -> None:
    secret = secret.strip()
    assert secret not in redaction.redact(before + secret + after, [secret]).replace(redaction.MASK, "\0")


def test_a_credential_set_hides_its_key_everywhere() -> None:
    key = "plain" + "Canary" + "Value77"
    credentials = CredentialSet("main", "runpod", key)
    assert key not in repr(credentials)
    assert key not in redaction.redact(f"something odd happened: <{key}>")
    record = logging.LogRecord("gpuplane", logging.INFO, "", 0, "it was %s", (key,), None)
    assert key not in RedactingFormatter("%(message)s").format(record)
    assert key not in structured("event", detail=f"x{key}y", none=None)


def test_headers() -> None:
    cleaned = redaction.redact_headers(
        {"Authorization": A, "Set-Cookie": A, "X-Note": f"api_key={A}", "Date": "now"}
    )
    assert A not in repr(cleaned)
    assert cleaned["Date"] == "now"
