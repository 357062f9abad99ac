"""A JSON schema of the stack file, written from the models: editors complete and check a file by it.

It refuses nothing that `load` takes. What needs more than one field (names that have to be declared, GPUs of
a cloud) stays with rules.py. Draft 7, because that is what editors know best; `$ref` with keys beside it,
which draft 7 ignores, is used for descriptions and defaults alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from stack_config.clear_text import SECURE, SECURE_ITSELF
from stack_config.models import StackFile
from stack_config.stack_file import NAMESPACE

FILE = "schema/stack.schema.json"
"""Where it stands in the project's folder."""

MODELINE = f"# yaml-language-server: $schema={FILE}"
"""First line of a stack file, by which editors with the YAML language server find it."""

_ANNOTATIONS = ("description", "default")
_SECURE = {"$ref": "#/definitions/secure"}
_NULL = {"type": "null"}
_SHARED: Mapping[str, Mapping[str, Any]] = {
    "secure": {
        "description": "A value that is encrypted: `pulumi config set --secret --path KEY` writes it.",
        "type": "object",
        "properties": {"secure": {"type": "string"}},
        "required": ["secure"],
        "additionalProperties": False,
    },
    # Pulumi decrypts a value wherever it stands, but only into text.
    "text": {"anyOf": [{"type": "string"}, _SECURE]},
    "secret": {
        "description": "Treated as a secret; only as a secure value it is one in the state, too.",
        "anyOf": [{"type": "string"}, _SECURE],
    },
    "secureOnly": {
        "description": "A secure value; clear text is refused.",
        "anyOf": [_SECURE, {"type": "string", "maxLength": 0}],
    },
}
_PULUMI: Mapping[str, Mapping[str, Any]] = {
    "secretsprovider": {"type": "string", "description": "What encrypts secure values; Pulumi writes it."},
    "encryptedkey": {"type": "string", "description": "Key of secure values, encrypted; Pulumi writes it."},
    "encryptionsalt": {"type": "string", "description": "Salt of the passphrase; Pulumi writes it."},
    "environment": {"description": "Environments of Pulumi ESC.", "type": ["array", "object"]},
}
"""The keys of a stack file that are not ours (Pulumi 3.250, sdk/go/common/workspace, ProjectStack)."""


def stack_schema() -> dict[str, Any]:
    """The schema of a file `Pulumi.<stack>.yaml`; keys of other projects and providers may hold anything."""
    made = StackFile.model_json_schema(by_alias=True)
    definitions = {**_SHARED, **{name: _clean(node) for name, node in sorted(made["$defs"].items())}}
    sections = {f"{NAMESPACE}:{key}": _clean(node) for key, node in made["properties"].items()}
    _close_secrets(sections, definitions)
    sections = {key: _or_empty(node) for key, node in sections.items()}
    config = {
        "description": "Values of this project, and of providers: `aws:region`.",
        "type": ["object", "null"],
        "properties": sections,
        "patternProperties": {f"^(?!{NAMESPACE}:)[^:]+:.+$": {}},
        "additionalProperties": False,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": "Written by `gpuplane config-schema --write` from the models in stack_config/.",
        "title": "Stack file of gpuplane",
        "type": "object",
        "properties": {"config": config, **_PULUMI},
        "additionalProperties": False,
        "definitions": definitions,
    }


def _or_empty(section: dict[str, Any]) -> dict[str, Any]:
    """A section that may be left out may also be empty, which is the default in Pulumi.yaml."""
    options = section.get("anyOf", [])
    if _NULL not in options:
        return section
    notes = {key: section[key] for key in _ANNOTATIONS if key in section}
    return {
        "type": ["object", "null"],
        "if": {"minProperties": 1, "type": "object"},
        "then": options[0],
        **notes,
    }


def schema_text() -> str:
    """The schema as it stands in its file."""
    return json.dumps(stack_schema(), indent=1, ensure_ascii=False) + "\n"


def _clean(node: Mapping[str, Any]) -> dict[str, Any]:
    """A node of pydantic's schema: no titles, short defaults, draft 7, and secure values wherever text is."""
    cleaned: dict[str, Any] = {}
    for key, value in node.items():
        match key:
            case "title" | "writeOnly":
                continue
            case "default" if not isinstance(value, bool | int | float | str) or value == "":
                continue
            case "$ref":
                cleaned[key] = value.replace("#/$defs/", "#/definitions/")
            case "properties":
                cleaned[key] = {name: _clean(each) for name, each in value.items()}
            case "items" | "additionalProperties" if isinstance(value, dict):
                cleaned[key] = _clean(value)
            case "anyOf":
                cleaned[key] = [_clean(each) for each in value]
            case _:
                cleaned[key] = value
    if "anyOf" in cleaned:
        return _choice(cleaned)
    return _text(cleaned) if cleaned.get("type") == "string" else cleaned


def _text(node: dict[str, Any]) -> dict[str, Any]:
    """A text, which may also be a secure value unless it is one of a few words."""
    if "enum" in node or "const" in node:
        return node
    notes = {key: node[key] for key in _ANNOTATIONS if key in node}
    rules = {key: value for key, value in node.items() if key not in _ANNOTATIONS}
    if rules.get("format") == "password":
        return {"$ref": "#/definitions/secret", **notes}
    if rules == {"type": "string"}:
        return {"$ref": "#/definitions/text", **notes}
    return {"anyOf": [rules, _SECURE], **notes}


def _choice(node: dict[str, Any]) -> dict[str, Any]:
    """A choice, without choices in it; a simple type that may be left out is no choice at all."""
    options = [inner for each in node["anyOf"] for inner in each.get("anyOf", [each])]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    if len(options) == 2 and options[1] == _NULL and isinstance(options[0].get("type"), str):
        option = options[0]
        words = {"enum": [*option["enum"], None]} if "enum" in option else {}
        return {**option, "type": [option["type"], "null"], **words, **rest}
    return {"anyOf": options, **rest}


def _close_secrets(sections: Mapping[str, Any], definitions: Mapping[str, Any]) -> None:
    """Takes clear text from the places where it is refused."""
    for top, places in SECURE.items():
        for place in places:
            _close(sections[f"{NAMESPACE}:{top}"], ("*", *place), definitions)
    for top, places in SECURE_ITSELF.items():
        for place in places:
            _close(sections[f"{NAMESPACE}:{top}"], place, definitions)


def _close(node: Any, place: tuple[str, ...], definitions: Mapping[str, Any]) -> None:
    for each in _options(node, definitions):
        if not place:
            if each.get("$ref") == "#/definitions/secret":
                each["$ref"] = "#/definitions/secureOnly"
        elif place[0] == "*":
            if "additionalProperties" in each:
                _close(each["additionalProperties"], place[1:], definitions)
        elif place[0] in each.get("properties", {}):
            _close(each["properties"][place[0]], place[1:], definitions)


def _options(node: Any, definitions: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The node, or what it may be; definitions of the models in place of references to them."""
    for each in node.get("anyOf", [node]):
        name = each.get("$ref", "").removeprefix("#/definitions/")
        yield definitions[name] if name and name not in _SHARED else each
