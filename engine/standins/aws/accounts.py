"""Rules of IAM and of managed databases. Sources: the IAM, RDS and ElastiCache API references."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from engine.standins.checking import Finding
from engine.standins.rules import between, exclusive, given, matching, one
from engine.standins.values import Values

_ENGINES = ("postgres", "mysql", "mariadb")


def role(values: Values) -> Iterator[Finding]:
    """A role has a trust policy: statements with principals and without resources."""
    yield from matching(values, "name", r"[\w+=,.@-]{1,64}", "a name of a role")
    yield from _document(
        values, "assumeRolePolicy", needs=("Effect", "Action", "Principal"), refuses="Resource"
    )


def policy(values: Values) -> Iterator[Finding]:
    """A policy of an identity: statements with resources and without principals."""
    yield from _document(values, "policy", needs=("Effect",), refuses="Principal")
    for path, statement in _statements(one(values, "policy"), "policy"):
        if ("Action" in statement) == ("NotAction" in statement):
            yield Finding(path, "a statement has either Action or NotAction")
        if ("Resource" in statement) == ("NotResource" in statement):
            yield Finding(path, "a statement has either Resource or NotResource")


def attachment(values: Values) -> Iterator[Finding]:
    """What may be attached to a role."""
    yield from matching(
        values, "policyArn", r"arn:aws[a-z-]*:iam::(aws|\d{12}):policy/.+", "an ARN of a policy"
    )


def _document(values: Values, name: str, needs: tuple[str, ...], refuses: str) -> Iterator[Finding]:
    text = one(values, name)
    if not isinstance(text, str):
        return
    try:
        document = json.loads(text)
    except ValueError as error:
        yield Finding(name, f"is no JSON: {error}")
        return
    if not isinstance(document, dict) or not document.get("Statement"):
        yield Finding(name, "a policy document has Statement")
        return
    if document.get("Version") not in ("2012-10-17", "2008-10-17"):
        yield Finding(name, "Version of a policy document is 2012-10-17")
    for path, statement in _statements(text, name):
        for key in needs:
            if key not in statement:
                yield Finding(path, f"a statement here needs {key}")
        if refuses in statement:
            yield Finding(path, f"a statement here can't have {refuses}")
        if statement.get("Effect") not in ("Allow", "Deny", None):
            yield Finding(path, f"Effect is Allow or Deny, not {statement['Effect']!r}")


def _statements(text: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        document = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        return
    found = document.get("Statement", []) if isinstance(document, dict) else []
    for index, statement in enumerate(found if isinstance(found, list) else [found]):
        if isinstance(statement, dict):
            yield f"{name}.Statement[{index}]", statement


def database(values: Values) -> Iterator[Finding]:
    """An RDS instance."""
    engine = one(values, "engine")
    if isinstance(engine, str) and engine.startswith("postgre") and engine not in _ENGINES:
        yield Finding("engine", f"{engine!r}: RDS calls it postgres")
    yield from matching(values, "identifier", r"[a-z](-?[a-z0-9]){0,62}", "an identifier of a database")
    yield from matching(
        values, "instanceClass", r"db\.[a-z0-9-]+\.[a-z0-9]+", "a class such as db.t4g.medium"
    )
    yield from between(values, "allocatedStorage", 20, 65536)
    yield from between(values, "backupRetentionPeriod", 0, 35)
    yield from exclusive(
        values, "password", "manageMasterUserPassword", because="a managed password is not given"
    )
    if one(values, "username") in ("admin", "rdsadmin") and engine == "postgres":
        yield Finding("username", "is a reserved name of PostgreSQL on RDS")


def cache(values: Values) -> Iterator[Finding]:
    """A replication group of ElastiCache."""
    if given(values, "authToken") and one(values, "transitEncryptionEnabled") is not True:
        yield Finding("authToken", "needs transitEncryptionEnabled")
    if one(values, "automaticFailoverEnabled") is True and one(values, "numCacheClusters") == 1:
        yield Finding("automaticFailoverEnabled", "needs at least two cache clusters")
    if one(values, "multiAzEnabled") is True and one(values, "automaticFailoverEnabled") is not True:
        yield Finding("multiAzEnabled", "needs automaticFailoverEnabled")
    yield from matching(values, "nodeType", r"cache\.[a-z0-9-]+\.[a-z0-9]+", "a type such as cache.t4g.small")
    token = r"[^@\"/\s]{16,128}"
    if not list(matching(values, "authToken", token, "")):
        return
    yield Finding("authToken", 'has 16 to 128 characters, none of them a space, @, " or /')
