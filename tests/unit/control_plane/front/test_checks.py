"""Whatever is wrong with what is declared is one line that names its JSON path."""

import json
from typing import Any

import msgspec
import pytest

from control_plane.gateway.checks import Wrong, check, decode
from control_plane.gateway.declared import Declared
from control_plane.gateway.seed import read_seed
from control_plane.settings import SettingsError

HASH = "0" * 64
GOOD: dict[str, Any] = {
    "tenants": [{"name": "team", "limits": {"requestsPerMinute": 5, "budgetUsd": 1.5}, "weight": 2}],
    "keys": [{"id": "k", "tenant": "team", "sha256": HASH}],
    "nodes": [{"name": "n", "url": "http://127.0.0.1:8000", "models": ["m"]}],
    "models": [{"name": "alias", "targets": [{"model": "m", "weight": 1}]}],
    "limits": {"inFlight": 3},
}


def changed(*path: str | int, to: Any) -> dict[str, Any]:
    """The good one with one thing changed."""
    whole: Any = json.loads(json.dumps(GOOD))
    at = whole
    for part in path[:-1]:
        at = at[part]
    if isinstance(at, list) and path[-1] == len(at):
        at.append(to)
    else:
        at[path[-1]] = to
    result: dict[str, Any] = whole
    return result


BAD: list[tuple[Any, str]] = [
    ([], "$: expected `object`, got `array`"),
    (changed("tenant", to=[]), "$: object contains unknown field `tenant`"),
    (changed("limits", "rpm", to=1), "$.limits: object contains unknown field `rpm`"),
    (changed("limits", "inFlight", to=-1), "$.limits.inFlight: must be 0 or more"),
    (changed("limits", "inFlight", to="3"), "$.limits.inFlight: expected `int`, got `str`"),
    (
        changed("tenants", 0, "limits", "budgetUsd", to=-0.1),
        "$.tenants[0].limits.budgetUsd: must be 0 or more",
    ),
    (changed("tenants", 0, "name", to=""), "$.tenants[0].name: must have 1 to 200 printable characters"),
    (changed("tenants", 0, "name", to="a\nb"), "$.tenants[0].name: must have 1 to 200 printable characters"),
    (changed("tenants", 0, "weight", to=0), "$.tenants[0].weight: must be 1 or more"),
    (changed("tenants", 1, to={"name": "team"}), "$.tenants[1]: 'team' is there twice"),
    (changed("keys", 0, "id", to="x" * 201), "$.keys[0].id: must have 1 to 200 printable characters"),
    (changed("keys", 0, "tenant", to="other"), "$.keys[0].tenant: there is no tenant 'other'"),
    (changed("keys", 0, "sha256", to="AB"), "$.keys[0].sha256: must be 64 hex digits in lower case"),
    (
        changed("keys", 0, "scopes", to=["inference", "all"]),
        "$.keys[0].scopes[1]: must be one of inference, models",
    ),
    (changed("keys", 0, "limits", to={"inFlight": -1}), "$.keys[0].limits.inFlight: must be 0 or more"),
    (changed("keys", 0, "expiresAt", to=-1), "$.keys[0].expiresAt: must be 0 or more"),
    (changed("keys", 1, to=GOOD["keys"][0]), "$.keys[1]: 'k' is there twice"),
    (changed("nodes", 0, "url", to="127.0.0.1"), "$.nodes[0].url: must be a URL with http or https"),
    (changed("nodes", 0, "url", to="http://h:x"), "$.nodes[0].url: is no URL"),
    (
        changed("nodes", 0, "url", to="http://u:p@h"),
        "$.nodes[0].url: must hold no user, password, query or fragment",
    ),
    (changed("nodes", 0, "models", to=[]), "$.nodes[0].models: must name the models that it serves"),
    (changed("nodes", 0, "models", to=[1]), "$.nodes[0].models[0]: expected `str`, got `int`"),
    (changed("nodes", 0, "maxInFlight", to=-1), "$.nodes[0].maxInFlight: must be 0 or more"),
    (changed("nodes", 0, "apiKey", to="a\nb"), "$.nodes[0].apiKey: must be printable ASCII"),
    (changed("nodes", 0, "tlsSha256", to="zz"), "$.nodes[0].tlsSha256: must be 64 hex digits in lower case"),
    (
        changed("models", 0, "promptUsdPerMillion", to=-1),
        "$.models[0].promptUsdPerMillion: must be 0 or more",
    ),
    (changed("models", 0, "targets", 0, "weight", to=-1), "$.models[0].targets[0].weight: must be 0 or more"),
    (
        changed("models", 0, "targets", 0, "weight", to=0),
        "$.models[0].targets: one of them needs a weight above 0",
    ),
    (
        changed("models", 0, "targets", 0, "model", to="alias"),
        "$.models[0].targets[0].model: 'alias' is an alias itself",
    ),
    (
        changed("models", 1, to={"name": "m", "targets": [{"model": "x"}]}),
        "$.models[0].targets[0].model: 'm' is an alias itself",
    ),
]


def test_the_good_one_is_good():
    check(decode(json.dumps(GOOD).encode(), Declared))


@pytest.mark.parametrize(("content", "line"), BAD, ids=[line for _, line in BAD])
def test_what_is_wrong_is_named_by_its_path(content, line):
    with pytest.raises(Wrong) as caught:
        check(decode(json.dumps(content).encode(), Declared))
    assert str(caught.value) == line


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"tenants":[{"name":"\xff"}]}'])
def test_what_is_no_json_is_one_line(text):
    with pytest.raises(Wrong, match="no valid JSON"):
        decode(text, Declared)


def test_what_is_nested_too_deeply_is_one_line():
    with pytest.raises(Wrong, match="nested too deeply"):
        decode(b'{"a":' + b"[" * 100_000, dict[str, msgspec.Raw])


def test_a_seed_file_is_read(tmp_path):
    file = tmp_path / "seed.json"
    file.write_text(json.dumps(GOOD))
    assert read_seed(file).tenants[0].name == "team"


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "No such file"),
        ("{", "no valid JSON"),
        ('{"keys":[{"id":1}]}', "$.keys[0].id: expected `str`"),
    ],
)
def test_a_bad_seed_file_is_one_line_that_names_it(tmp_path, content, part):
    file = tmp_path / "seed.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_seed(file)
    text = str(caught.value)
    assert text.startswith(f"GATEWAY_SEED: {file}")
    assert part in text
    assert "\n" not in text
