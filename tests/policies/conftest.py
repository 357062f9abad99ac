"""The pack in the real engine; every test has a stack of its own, and the emulator where it has nodes."""

from __future__ import annotations

from tests.engine.conftest import new_stack, template
from tests.engine.nodes.conftest import emulator, new_world

__all__ = ["emulator", "new_stack", "new_world", "template"]
