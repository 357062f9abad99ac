"""Which versions of the engine this project accepts, downloads and builds."""

import re

#: Every version in [OLDEST, BELOW) is accepted when it is found on PATH.
OLDEST = (3, 200, 0)
BELOW = (4, 0, 0)
#: The version that is downloaded or built. `engine/go/go.mod` names it too; a test compares them.
BUILT = "3.250.0"

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def parse(text: str) -> tuple[int, int, int] | None:
    """Reads a version such as `v3.250.0` or `3.250.0-dev.1`.

    Args:
        text: what `pulumi version` printed.

    Returns:
        (major, minor, patch), or None when the text starts with no version.
    """
    found = _VERSION.match(text.strip())
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def accepted(version: tuple[int, int, int]) -> bool:
    """Whether an engine of this version may run the project."""
    return OLDEST <= version < BELOW


def accepted_range() -> str:
    """The accepted range in words, for messages."""
    return f">={'.'.join(map(str, OLDEST))},<{'.'.join(map(str, BELOW))}"
