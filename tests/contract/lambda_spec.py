"""Lambda's own description of its Cloud API v1, as something to check requests and answers against."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # no stubs installed

SPEC = Path(__file__).parents[3] / "shared" / "specs" / "lambda_v1.openapi.json"


@cache
def spec() -> dict[str, Any]:
    """The document; skips the test where it is not there."""
    if not SPEC.exists():
        pytest.skip("the cloud's API description (shared/specs) is not beside this checkout")
    document: dict[str, Any] = json.loads(SPEC.read_text())
    return document


def complaints(schema: dict[str, Any], value: object) -> list[str]:
    """What is wrong with a value, by a schema of the document."""
    rooted = {"$ref": "#/schema", "schema": schema, "components": spec()["components"]}
    return [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(rooted).iter_errors(value)
    ]


def body_schema(method: str, path: str) -> dict[str, Any]:
    """The schema of an operation's request body."""
    content = spec()["paths"][path][method.lower()]["requestBody"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


def response_complaints(method: str, path: str, status: int, content_type: str, body: bytes) -> list[str]:
    """What is wrong with an answer: its status, content type and body."""
    operation = spec()["paths"].get(path, {}).get(method.lower())
    if operation is None:
        return [f"{method} {path} is not in the description"]
    response = operation["responses"].get(str(status))
    if response is None:
        return [f"{method} {path} never answers {status}"]
    media = content_type.partition(";")[0]
    if media != "application/json":
        return [f"content type {media}"]
    return complaints(response["content"][media]["schema"], json.loads(body))


def path_of(url_path: str) -> str:
    """The path of the description that an address is of; empty: none."""
    fitting = [
        path for path in spec()["paths"] if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", path), url_path)
    ]
    return min(fitting, key=lambda path: path.count("{"), default="")


def null_places(value: object, at: str = "$") -> list[str]:
    """Where a value has a null in it: Lambda leaves fields out instead."""
    if value is None:
        return [at]
    if isinstance(value, dict):
        return [place for key, one in value.items() for place in null_places(one, f"{at}.{key}")]
    if isinstance(value, list):
        return [place for index, one in enumerate(value) for place in null_places(one, f"{at}[{index}]")]
    return []
