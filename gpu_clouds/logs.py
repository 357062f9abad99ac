"""The log of a process that nobody else configured: to standard error, redacted, one line each."""

from __future__ import annotations

import json
import logging
import os
import sys

from gpu_clouds.redaction import redact

LOGGER = "gpuplane"
"""Root of all our loggers."""


class RedactingFormatter(logging.Formatter):
    """Formats as usual and takes secrets out of the finished line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return redact(super().format(record))


def configure_from_environment() -> None:
    """Sets the level of `LOG_LEVEL` and, unless somebody has done so, sends the log to standard error.

    Without the variable nothing is changed: warnings appear, as Python does by default.
    """
    level = logging.getLevelNamesMapping().get(os.environ.get("LOG_LEVEL", "").upper())
    if level is None:
        return
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logger.addHandler(handler)


def structured(event: str, **fields: object) -> str:
    """One line of JSON, redacted, without the fields that are None."""
    kept = {name: value for name, value in fields.items() if value is not None}
    return redact(json.dumps({"event": event, **kept}, ensure_ascii=False, default=str))
