"""Structured logs: one JSON object a line on standard error. No content of requests, no secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, BinaryIO

import msgspec
import structlog

from gpu_clouds.redaction import redact

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
Log = structlog.typing.FilteringBoundLogger


def configure(level: str, out: BinaryIO | None = None) -> Log:
    """Sets up logging of this process, of libraries too.

    Args:
        level: Least level: debug, info, warning or error.
        out: Where lines go; None: standard error.

    Returns:
        The gateway's logger.
    """
    least = _LEVELS[level]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _cleaned,
            structlog.processors.JSONRenderer(serializer=_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.BytesLoggerFactory(out or sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    log: Log = structlog.get_logger()
    root = logging.getLogger()
    root.handlers = [_ToStructlog(log)]
    # Libraries tell of every query and connection at the lower levels.
    root.setLevel(max(least, logging.WARNING))
    return log


class _ToStructlog(logging.Handler):
    """What libraries log, in the same form."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Hands a record on."""
        self._log.log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )


def _cleaned(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Whatever text came from elsewhere is redacted: an error's own words, above all."""
    for name in ("event", "exception", "error"):
        text = event.get(name)
        if isinstance(text, str):
            event[name] = redact(text)
    return event


def _json(event: object, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
