"""RunPod's own description of its REST API v2, as something that answers can be checked against."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs installed
from referencing import Registry
from referencing.jsonschema import DRAFT202012

SPEC = Path(__file__).parents[3] / "shared" / "specs" / "runpod_v2.openapi.json"
_URI = "urn:runpod"


@cache
def spec() -> dict[str, Any]:
    """The document; skips the test where it is not there."""
    if not SPEC.exists():
        pytest.skip("the cloud's API description (shared/specs) is not beside this checkout")
    document: dict[str, Any] = json.loads(SPEC.read_text())
    return document


@cache
def _registry() -> Registry[Any]:
    empty: Registry[Any] = Registry()
    filled: Registry[Any] = empty.with_resource(_URI, DRAFT202012.create_resource(spec()))
    return filled


def complaints(pointer: str, value: Any) -> list[str]:
    """What is wrong with a value, by the schema at a pointer into the document."""
    validator: Any = Draft202012Validator({"$ref": f"{_URI}#{pointer}"}, registry=_registry())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def schema_complaints(name: str, value: Any) -> list[str]:
    """What is wrong with a value, by a named schema."""
    return complaints(f"/components/schemas/{name}", value)


def response_complaints(
    route: str, method: str, status: int, content_type: str, headers: dict[str, str], body: bytes
) -> list[str]:
    """What is wrong with an answer: its status, headers, content type and body."""
    operation = spec()["paths"].get(route, {}).get(method.lower())
    if operation is None:
        return [f"{method} {route} is not in the description"]
    responses = operation["responses"]
    name = str(status) if str(status) in responses else "default"
    if name == "default" and status < 400:
        return [f"{method} {route} never answers {status}"]
    response = responses[name]
    pointer = f"/paths/{_escaped(route)}/{method.lower()}/responses/{name}"
    if "$ref" in response:
        pointer = response["$ref"].removeprefix("#")
        response = spec()["components"]["responses"][pointer.rpartition("/")[2]]
    lines = [
        f"header {header} is missing"
        for header in response.get("headers", {})
        # The server adds Connection itself; rate limits are a setting of the emulator and on in these tests.
        if header != "Connection" and header.lower() not in headers
    ]
    content = response.get("content", {})
    if not content:
        return lines + (["a body where there should be none"] if body else [])
    media = content_type.partition(";")[0]
    if media not in content:
        return [*lines, f"content type {media} instead of {', '.join(content)}"]
    value = body.decode() if media == "text/event-stream" else json.loads(body)
    return lines + complaints(f"{pointer}/content/{_escaped(media)}/schema", value)


def properties_of(name: str) -> set[str]:
    """Every property that a named schema mentions, those it is composed of included."""
    found: set[str] = set()

    def walk(schema: dict[str, Any]) -> None:
        found.update(schema.get("properties", {}))
        for part in schema.get("allOf", []):
            walk(part)
        if "$ref" in schema:
            walk(spec()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])

    walk(spec()["components"]["schemas"][name])
    return found


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")
