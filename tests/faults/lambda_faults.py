"""What can go wrong with Lambda's API v1."""

from __future__ import annotations

from tests.faults.common import once
from tests.faults.fault import Fault

L = "lambda"
ROWS: list[Fault] = once(L)
