"""As much of GraphQL's language as clients of RunPod use."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"[\s,\ufeff]*(?:#[^\n]*[\s,]*)*"
    r"(?P<token>[A-Za-z_]\w*|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\"(?:[^\"\\\n]|\\.)*\"|\.\.\.|[{}()\[\]:!$=@|])"
)
_END = ""


class QueryError(Exception):
    """The document can not be understood."""


@dataclass(slots=True)
class Field:
    """A field that is asked for.

    Attributes:
        name: Its name.
        alias: What the answer calls it.
        arguments: Values, variables filled in.
        selection: Fields below it; None where none are named.
    """

    name: str
    alias: str
    arguments: dict[str, Any] = field(default_factory=dict)
    selection: list[Field] | None = None


@dataclass(slots=True)
class Operation:
    """One operation: `query` or `mutation`, and its fields."""

    kind: str
    fields: list[Field]


def parse(document: str, variables: Mapping[str, Any]) -> Operation:
    """Reads a document with one operation.

    Args:
        document: The text.
        variables: Values of its variables.

    Raises:
        QueryError: Syntax, or a variable that is required or not declared.
    """
    return _Parser(document, variables).operation()


class _Parser:
    def __init__(self, document: str, variables: Mapping[str, Any]) -> None:
        self._tokens = _tokens(document)
        self._at = 0
        self._given = variables
        self._variables: dict[str, Any] = {}

    def operation(self) -> Operation:
        kind = "query"
        if self._next() != "{":
            kind = self._take()
            if kind not in ("query", "mutation"):
                raise QueryError(f'Syntax Error: Unexpected Name "{kind}".')
            if self._next() not in ("{", "("):
                self._name()
            if self._next() == "(":
                self._declarations()
        found = Operation(kind, self._selection())
        if self._next() != _END:
            raise QueryError(f'Syntax Error: Unexpected "{self._next()}".')
        return found

    def _declarations(self) -> None:
        self._expect("(")
        while self._next() != ")":
            self._expect("$")
            name = self._name()
            self._expect(":")
            required = self._type()
            default: Any = None
            if self._next() == "=":
                self._take()
                default = self._value()
            if required and self._given.get(name) is None:
                raise QueryError(f'Variable "${name}" of required type was not provided.')
            self._variables[name] = self._given.get(name, default)
        self._expect(")")

    def _type(self) -> bool:
        """Skips a type; whether it is required."""
        if self._next() == "[":
            self._take()
            self._type()
            self._expect("]")
        else:
            self._name()
        if self._next() == "!":
            self._take()
            return True
        return False

    def _selection(self) -> list[Field]:
        self._expect("{")
        fields: list[Field] = []
        while self._next() != "}":
            name = alias = self._name()
            if self._next() == ":":
                self._take()
                name = self._name()
            arguments: dict[str, Any] = {}
            if self._next() == "(":
                self._take()
                while self._next() != ")":
                    key = self._name()
                    self._expect(":")
                    arguments[key] = self._value()
                self._expect(")")
            selection = self._selection() if self._next() == "{" else None
            fields.append(Field(name, alias, arguments, selection))
        self._expect("}")
        if not fields:
            raise QueryError('Syntax Error: Expected Name, found "}".')
        return fields

    def _value(self) -> Any:
        token = self._take()
        if token == "$":
            name = self._name()
            if name not in self._variables:
                raise QueryError(f'Variable "${name}" is not defined.')
            return self._variables[name]
        if token == "{":
            found: dict[str, Any] = {}
            while self._next() != "}":
                key = self._name()
                self._expect(":")
                found[key] = self._value()
            self._take()
            return found
        if token == "[":
            items = []
            while self._next() != "]":
                items.append(self._value())
            self._take()
            return items
        if token[:1] in '"-0123456789' and token:
            return json.loads(token)
        if token in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token]
        if token[:1].isalpha() or token[:1] == "_":
            return token  # a word of an enumeration
        raise QueryError(f'Syntax Error: Unexpected "{token}".')

    def _name(self) -> str:
        token = self._take()
        if not (token[:1].isalpha() or token[:1] == "_"):
            raise QueryError(f'Syntax Error: Expected Name, found "{token}".')
        return token

    def _expect(self, wanted: str) -> None:
        token = self._take()
        if token != wanted:
            raise QueryError(f'Syntax Error: Expected "{wanted}", found "{token}".')

    def _next(self) -> str:
        return self._tokens[self._at]

    def _take(self) -> str:
        token = self._tokens[self._at]
        if token == _END:
            raise QueryError("Syntax Error: Unexpected <EOF>.")
        self._at += 1
        return token


def _tokens(document: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while match := _TOKEN.match(document, at):
        tokens.append(match["token"])
        at = match.end()
    if rest := re.sub(r"#[^\n]*", "", document[at:]).strip(" \t\r\n,"):
        raise QueryError(f"Syntax Error: Unexpected character {rest[0]!r}.")
    return [*tokens, _END]
