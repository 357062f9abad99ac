"""Takes out of a recording what says something of the machine, or is different in every recording."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

PICKLE = "<pickle>"
#: Every pickle of a protocol that is in use, in base64. Nobody looks into them.
_PICKLED = re.compile(r"gA[MNQRSTU][A-Za-z0-9+/]+={0,2}")
#: What stands for every value of a key.
_STAND_INS = {
    **dict.fromkeys(("user_name", "username", "SKYPILOT_USER"), "pulumi"),
    "stacktrace": "<stacktrace>",
}
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TOKEN = re.compile(r"sky_eyJ[A-Za-z0-9_.\-]+")
_HASH = re.compile(r"\$apr1\$[./A-Za-z0-9]+\$[./A-Za-z0-9]+")
#: Header names that are kept; the others are the web server's.
_HEADERS = re.compile(r"^(content-type|www-authenticate|retry-after|x-skypilot-.*)$")


class Scrubber:
    """Replaces secrets, paths, user names and pickles; ids become the same ones in every recording.

    Args:
        replacements: texts and what stands for them, tried in order of their length.
    """

    def __init__(self, replacements: Mapping[str, str]) -> None:
        self._replacements = dict(replacements)
        self._numbers: dict[str, str] = {}

    def hide(self, text: str, stand_in: str) -> None:
        """Replaces one more text from now on."""
        if text:
            self._replacements[text] = stand_in

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers that a client looks at."""
        return {
            name.lower(): self.text(value)
            for name, value in sorted(headers.items())
            if _HEADERS.match(name.lower())
        }

    def text(self, text: str) -> str:
        """Scrubs a body: JSON is scrubbed value by value, also JSON in a string of JSON."""
        stripped = text.strip()
        if stripped.startswith(("{", "[")):
            try:
                return json.dumps(self.value(json.loads(stripped)), ensure_ascii=False)
            except ValueError:
                pass
        return self._plain(text)

    def value(self, value: Any, key: str = "") -> Any:
        """Scrubs a JSON value."""
        if isinstance(value, dict):
            # The server's own user has the name of whoever started it.
            own = {"name": "server"} if value.get("user_type") == "system" else {}
            return {self._plain(name): self.value(item, name) for name, item in {**value, **own}.items()}
        if isinstance(value, list):
            return [self.value(item, key) for item in value]
        if isinstance(value, str):
            if value and key in _STAND_INS:
                return _STAND_INS[key]
            if _PICKLED.fullmatch(value):
                return PICKLE
            return self.text(value)
        if key == "pid" and isinstance(value, int):
            return 4242
        return value

    def _plain(self, text: str) -> str:
        for secret in sorted(self._replacements, key=len, reverse=True):
            text = text.replace(secret, self._replacements[secret])
        text = _HASH.sub("$apr1$hash", text)
        text = _TOKEN.sub(lambda match: self._number(match.group(), "sky_eyJ-token-{:d}"), text)
        return _UUID.sub(lambda match: self._number(match.group(), "00000000-0000-4000-8000-{:012d}"), text)

    def _number(self, text: str, form: str) -> str:
        if text not in self._numbers:
            self._numbers[text] = form.format(len(self._numbers) + 1)
        return self._numbers[text]
