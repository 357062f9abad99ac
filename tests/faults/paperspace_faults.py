"""What can go wrong with Paperspace's API v1."""

from __future__ import annotations

from tests.faults.common import once
from tests.faults.fault import Fault

P = "paperspace"
ROWS: list[Fault] = once(P)
