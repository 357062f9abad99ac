"""What tests and the processes that they start have in common; loads nothing."""

SECRET = "4f" * 32
NOVEMBER = 1_794_700_800_000_000
"""2026-11-15T00:00:00Z, microseconds since the epoch."""
