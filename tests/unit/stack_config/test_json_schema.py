"""The JSON schema of the stack file: current, true to the models, and no stricter than the loader."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # no stubs installed
from jsonschema.exceptions import best_match  # type: ignore[import-untyped]  # no stubs installed
from pydantic import ValidationError

from stack_config import StackConfigError, load
from stack_config.clear_text import SECURE, SECURE_ITSELF, clear_text
from stack_config.json_schema import FILE, MODELINE, schema_text, stack_schema
from stack_config.models import StackFile
from stack_config.stack_file import Loader, read_stack_file
from tests.examples import EXAMPLES, Example
from tests.unit.stack_config.examples import configurations, example

ROOT = Path(__file__).parents[3]
SCHEMA = stack_schema()
VALIDATOR = Draft7Validator(SCHEMA)
SECURE_VALUE = {"secure": "v1:abc"}


def read(text: str) -> Any:
    return yaml.load(text, Loader)


def of(values: dict[str, Any]) -> dict[str, Any]:
    """A stack file with these values; keys of accounts and nodes are secure, as they have to be."""
    config = {f"gpuplane:{key}": value for key, value in deepcopy(values).items()}
    for section in ("credentials", "clusters"):
        for entry in config.get(f"gpuplane:{section}", {}).values():
            if entry.get("apiKey"):
                entry["apiKey"] = SECURE_VALUE
    return {"config": config}


def loaded(document: dict[str, Any], folder: Path) -> None:
    """What a run does with a file; raises a `StackConfigError` where it refuses it."""
    file = folder / "Pulumi.x.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    values = read_stack_file(file)
    load({"stackId": "k3v9x2pq", **values}, "x")
    if problems := clear_text(values, values, (*SECURE, *SECURE_ITSELF)):
        raise StackConfigError("Pulumi.x.yaml", problems)


def test_the_committed_schema_is_current() -> None:
    committed = (ROOT / FILE).read_text(encoding="utf-8")
    assert committed == schema_text(), "run `gpuplane config-schema --write`"


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("one", EXAMPLES, ids=lambda one: one.name)
def test_every_stack_file_keeps_to_it_and_names_it(one: Example) -> None:
    text = one.path.read_text(encoding="utf-8")
    assert [error.message for error in VALIDATOR.iter_errors(read(text))] == []
    assert text.splitlines()[0] == MODELINE


def test_every_key_has_a_description() -> None:
    sections = SCHEMA["properties"]["config"]["properties"]
    models = {name: node for name, node in SCHEMA["definitions"].items() if "properties" in node}
    keys = {
        f"{name}.{key}": each for name, node in models.items() for key, each in node["properties"].items()
    }
    refs = {f"#/definitions/{name}": node for name, node in SCHEMA["definitions"].items()}
    missing = [
        name
        for name, node in (sections | keys).items()
        if "description" not in node and "description" not in refs.get(node.get("$ref"), {})
    ]
    assert missing == ["secure.secure"]


BROKEN: list[tuple[str, str, str]] = [
    ("gpuplane:clsters: {}", "config", "'gpuplane:clsters'"),
    ("clusters: {}", "config", "'clusters'"),
    ("gpuplane:clusters: {chat: {nods: 2}}", "config/gpuplane:clusters/chat", "'nods'"),
    ("gpuplane:clusters: {chat: {nodes: two}}", "config/gpuplane:clusters/chat/nodes", "integer"),
    ("gpuplane:clusters: {chat: {nodes: {secure: x}}}", "config/gpuplane:clusters/chat/nodes", "integer"),
    ("gpuplane:clusters: {chat: {nodes: -1}}", "config/gpuplane:clusters/chat/nodes", "minimum"),
    ("gpuplane:clusters: {chat: {node_class: a}}", "config/gpuplane:clusters/chat", "'node_class'"),
    ("gpuplane:clusters: {chat: {capacity: spots}}", "config/gpuplane:clusters/chat/capacity", "'spots'"),
    ("gpuplane:clusters: {chat: {ports: [8000]}}", "config/gpuplane:clusters/chat/ports/0", "8000"),
    ("gpuplane:clusters: {chat: {ports: [http]}}", "config/gpuplane:clusters/chat/ports/0", "'http'"),
    ("gpuplane:clusters: {chat: {env: {A: 1}}}", "config/gpuplane:clusters/chat/env/A", "1"),
    ("gpuplane:clusters: {chat: {apiKey: abc}}", "config/gpuplane:clusters/chat/apiKey", "'abc'"),
    (
        "gpuplane:clusters: {chat: {readiness: {sshKey: abc}}}",
        "config/gpuplane:clusters/chat/readiness/sshKey",
        "'abc'",
    ),
    ("gpuplane:clusters: [chat]", "config/gpuplane:clusters", "object"),
    ("gpuplane:credentials: {a: {cloud: runpot}}", "config/gpuplane:credentials/a/cloud", "'runpot'"),
    ("gpuplane:credentials: {a: {apiKeyEnv: A}}", "config/gpuplane:credentials/a", "'cloud'"),
    ("gpuplane:nodeClasses: {a: {candidates: []}}", "config/gpuplane:nodeClasses/a/candidates", "non-empty"),
    ("gpuplane:controlPlane: {port: 8080}", "config/gpuplane:controlPlane", "'target'"),
    ("gpuplane:controlPlane: {target: cloud}", "config/gpuplane:controlPlane/target", "'local'"),
    (
        "gpuplane:skypilotServers: {a: {accounts: {runpod: {api_key: x}}}}",
        "config/gpuplane:skypilotServers/a/accounts/runpod/api_key",
        "'x'",
    ),
    (
        "gpuplane:skypilotServers: {a: {accounts: {moon: {}}}}",
        "config/gpuplane:skypilotServers/a/accounts",
        "'moon'",
    ),
    (
        "gpuplane:eksClusters: {a: {region: b, zones: [c], pools: {p: {gpu: L4}}}}",
        "config/gpuplane:eksClusters/a/pools/p",
        "'max'",
    ),
    (
        "gpuplane:gkeClusters: {a: {region: b, project: p, version: 1.33}}",
        "config/gpuplane:gkeClusters/a/version",
        "1.33",
    ),
    ("gpuplane:settings: {settleS: 1h}", "config/gpuplane:settings/settleS", "integer"),
]


@pytest.mark.parametrize(("text", "path", "word"), BROKEN, ids=[text for text, *_ in BROKEN])
def test_a_broken_file_is_refused_where_it_is_broken(text: str, path: str, word: str, tmp_path: Path) -> None:
    document = read(f"config:\n  {text}\n")
    error = best_match(VALIDATOR.iter_errors(document))
    assert error is not None
    place = "/".join(str(part) for part in error.absolute_path)
    assert place == path, error
    assert word in f"{error.message} {error.validator}"
    if text.startswith("gpuplane:"):
        with pytest.raises(StackConfigError):
            loaded(document, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "config:\n  aws:region: us-east-1\n  azure-native:config:location: x\n  gcp:project: {a: 1}\n",
        "config:\n",
        "config: {}\nencryptionsalt: v1:x\nsecretsprovider: kms\nencryptedkey: x\nenvironment: [dev]\n",
        "environment: {values: {a: 1}}\n",
        "config:\n  gpuplane:controlPlane: {}\n",
        "config:\n  gpuplane:clusters: {chat: {image: {secure: v1:x}, nodeClass: {secure: v1:x}}}\n",
        "config:\n  gpuplane:clusters: {chat: {env: {A: {secure: v1:x}, B: c}, expiresAt: null}}\n",
        "config:\n  gpuplane:credentials: {a: {cloud: runpod, apiKey: {secure: v1:x}}}\n",
    ],
)
def test_what_pulumi_takes_is_taken(text: str) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(read(text))] == []


@pytest.mark.parametrize("text", ["confg: {}\n", "encryptionsalt: 1\n", "config: 3\n", "environment: dev\n"])
def test_other_keys_of_the_file_are_held_to_pulumis_own(text: str) -> None:
    assert not VALIDATOR.is_valid(read(text))


@given(configurations())
@settings(max_examples=30, deadline=None)
def test_what_the_loader_takes_the_schema_takes(values: dict[str, Any]) -> None:
    document = of(values)
    load(values, "x")
    assert [error.message for error in VALIDATOR.iter_errors(document)] == []


# -- what keeps to the schema keeps to the models


def drawn(draw: st.DrawFn, node: dict[str, Any], depth: int = 0) -> Any:
    """A value that a node of the schema takes; texts are never secure values here."""
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/definitions/")
        return draw(st.text(max_size=5)) if name in PLAIN else drawn(draw, SCHEMA["definitions"][name], depth)
    if "then" in node:
        return drawn(draw, node["then"], depth)
    if "anyOf" in node:
        options = [each for each in node["anyOf"] if each.get("$ref") != "#/definitions/secure"]
        return drawn(draw, draw(st.sampled_from(options)), depth)
    if "const" in node or "enum" in node:
        return draw(st.sampled_from(node.get("enum", [node.get("const")])))
    kinds = node.get("type", "null")
    kind = draw(st.sampled_from(kinds)) if isinstance(kinds, list) else kinds
    match kind:
        case "object":
            return drawn_object(draw, node, depth)
        case "array":
            fewest = node.get("minItems", 0)
            many = draw(st.integers(fewest, fewest + 1))
            return [drawn(draw, node["items"], depth + 1) for _ in range(many)]
        case "string":
            return draw(texts(node))
        case "boolean":
            return draw(st.booleans())
        case "integer":
            return draw(st.integers(node.get("minimum", 0), node.get("maximum", 10**6)))
        case "number":
            low = node.get("minimum", node.get("exclusiveMinimum", 0))
            exclusive = "exclusiveMinimum" in node
            return draw(st.floats(low, node.get("maximum", 1e6), exclude_min=exclusive))
    return None


PLAIN = ("text", "secret", "secureOnly")


def texts(node: dict[str, Any]) -> st.SearchStrategy[str]:
    if node.get("format") == "date-time":
        return st.just("2027-01-31T18:00:00Z")
    if "pattern" in node:
        found = st.from_regex(node["pattern"].removesuffix("$") + r"\Z", alphabet=LETTERS)
        return found.filter(lambda text: len(text) <= node.get("maxLength", 10**6))
    return st.text(min_size=node.get("minLength", 0), max_size=node.get("maxLength", 8))


LETTERS = st.characters(min_codepoint=32, max_codepoint=126)


def drawn_object(draw: st.DrawFn, node: dict[str, Any], depth: int) -> dict[str, Any]:
    made = {}
    for key, each in node.get("properties", {}).items():
        if key in node.get("required", ()) or draw(st.integers(0, 2 + depth)) == 0:
            made[key] = drawn(draw, each, depth + 1)
    others = node.get("additionalProperties")
    if isinstance(others, dict) and draw(st.booleans()):
        names = node.get("propertyNames", {}).get("enum", ["a", "b"])
        made[draw(st.sampled_from(names))] = drawn(draw, others, depth + 1)
    return made


@st.composite
def sections(draw: st.DrawFn) -> tuple[str, Any]:
    """A section of the stack file, by the schema alone."""
    every = SCHEMA["properties"]["config"]["properties"]
    key = draw(st.sampled_from(sorted(every)))
    return key.removeprefix("gpuplane:"), drawn(draw, every[key])


@given(sections())
@settings(max_examples=100, deadline=None)
def test_what_the_schema_takes_the_models_take(section: tuple[str, Any]) -> None:
    StackFile.model_validate_json(json.dumps(dict([section])), by_alias=True, by_name=False)


# -- what the schema refuses the loader refuses

JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    3,
    1.5,
    "",
    "x",
    "a b",
    [],
    [1],
    {},
    {"a": 1},
    {"secure": "v1:x"},
    10**9,
]


def places(value: Any) -> list[tuple[Any, ...]]:
    """The path of every value inside."""
    found: list[tuple[Any, ...]] = []
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append((key,))
        if isinstance(inner, dict | list):
            found += [(key, *path) for path in places(inner)]
    return found


def changed(document: dict[str, Any], path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    copied = deepcopy(document)
    place: Any = copied["config"]
    for step in path[:-1]:
        place = place[step]
    change(place, path[-1])
    return copied


DOCUMENTS = [*(read(one.path.read_text(encoding="utf-8")) for one in EXAMPLES), of(example())]
PLACES = [
    (document, path)
    for document in DOCUMENTS
    for path in places(document["config"])
    # What is encrypted is the engine's to look at.
    if path[-1] != "secure"
]


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """A stack file that was good before something in it was changed, removed or spelled wrong."""
    document, path = draw(st.sampled_from(PLACES))
    junk = draw(st.sampled_from(JUNK))
    how = draw(st.sampled_from(["replace", "remove", "rename"]))

    def change(place: Any, key: Any) -> None:
        if how == "replace":
            place[key] = junk
        elif how == "rename" and isinstance(place, dict):
            place[f"{key}s"] = place.pop(key)
        else:
            del place[key]

    return changed(document, path, change)


@given(document=spoiled())
@settings(max_examples=200, deadline=None)
def test_what_the_schema_refuses_the_loader_refuses(
    document: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not VALIDATOR.is_valid(document):
        with pytest.raises(StackConfigError):
            loaded(document, tmp_path_factory.getbasetemp())


def test_the_models_are_what_is_compared_with() -> None:
    """The property above would hold of a loader that refuses everything."""
    with pytest.raises(ValidationError):
        StackFile.model_validate_json('{"clusters": {"a": {"nodes": 1.5}}}', by_alias=True, by_name=False)
