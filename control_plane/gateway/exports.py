"""What was used, as JSON or CSV, for the admin endpoint."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from control_plane.gateway.parts import Refused
from control_plane.store.ledger import LedgerRows
from control_plane.store.rows import Row, Usage
from control_plane.store.schema import NANO

JSON = b"application/json"
CSV = b"text/csv; charset=utf-8"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_AT_ONCE = 1000
_encode = msgspec.json.Encoder().encode


class Report:
    """Usage and ledger, from the store.

    Args:
        rows: The store's.
        wall: Seconds since the epoch.
    """

    def __init__(self, rows: LedgerRows, wall: Callable[[], float]) -> None:
        self._rows = rows
        self._wall = wall

    async def usage(self, query: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Sums of a month by tenant, key and model.

        Args:
            query: `month` (`2026-11`; this one) and `format` (json or csv).

        Returns:
            Content and content type.

        Raises:
            Refused: 400: the query makes no sense.
        """
        as_csv = _as_csv(query)
        month = query.get("month") or datetime.fromtimestamp(self._wall(), UTC).strftime("%Y-%m")
        if not _MONTH.fullmatch(month):
            raise _wrong("month", "a month such as 2026-11")
        found = [_usage(each) for each in await self._rows.usage(month)]
        if as_csv:
            names = [_camel(name) for name in (*Usage.__struct_fields__[:-1], "usd")]
            return _csv(names, found, header=True), CSV
        return _encode({"month": month, "data": found}), JSON

    async def ledger(self, query: Mapping[str, str]) -> tuple[bytes, AsyncIterator[bytes]]:
        """Requests that began in a span of time.

        Args:
            query: `from` and `to` (excluded): times in ISO 8601 or dates, UTC, or seconds since the epoch;
                `format` (json or csv).

        Returns:
            Content type, and the content in pieces.

        Raises:
            Refused: 400: the query makes no sense.
        """
        as_csv = _as_csv(query)
        begin = _time(query, "from", 0.0)
        end = _time(query, "to", self._wall() + 1)
        rows = self._rows.rows(round(begin * 1e6), round(end * 1e6))
        return (CSV, _as_lines(rows)) if as_csv else (JSON, _as_array(rows))


def _usage(usage: Usage) -> dict[str, Any]:
    fields = msgspec.structs.asdict(usage)
    fields["usd"] = fields.pop("nano_usd") / NANO
    return {_camel(name): value for name, value in fields.items()}


def _row(row: Row) -> dict[str, Any]:
    """With times in ISO 8601, money in USD, and nodes as a list."""
    fields = msgspec.structs.asdict(row)
    for name in ("begun", "ended"):
        at = fields.pop(f"{name}_us")
        fields[name] = None if at is None else datetime.fromtimestamp(at / 1e6, UTC).isoformat()
    for name in ("ttft", "duration"):
        at = fields.pop(f"{name}_us")
        fields[f"{name}_s"] = None if at is None else at / 1e6
    fields["usd"] = fields.pop("nano_usd") / NANO
    fields["nodes"] = row.nodes.split()
    return {_camel(name): value for name, value in fields.items()}


async def _as_array(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    piece = [b'{"data":[']
    between = b""
    async for row in rows:
        piece.append(between + _encode(_row(row)))
        between = b",\n"
        if len(piece) >= _AT_ONCE:
            yield b"".join(piece)
            piece = []
    yield b"".join(piece) + b"]}"


async def _as_lines(rows: AsyncIterator[Row]) -> AsyncIterator[bytes]:
    names = list(_row(_EMPTY))
    header = True
    page: list[dict[str, Any]] = []
    async for row in rows:
        page.append({**_row(row), "nodes": row.nodes})
        if len(page) >= _AT_ONCE:
            yield _csv(names, page, header=header)
            header, page = False, []
    yield _csv(names, page, header=header)


_EMPTY = Row("", 0, 0, "", "", "", "", "", "", "", 0, 0, False, 0, 0, 0, 0, 0, False, 0, 0, 0)


def _csv(names: Sequence[str], rows: Sequence[Mapping[str, Any]], *, header: bool) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\r\n")
    if header:
        writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    """Text that a spreadsheet does not take for a formula: clients choose the names of models."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _as_csv(query: Mapping[str, str]) -> bool:
    kind = query.get("format", "json")
    if kind not in ("json", "csv"):
        raise _wrong("format", "json or csv")
    return kind == "csv"


def _time(query: Mapping[str, str], name: str, default: float) -> float:
    text = query.get(name, "")
    if not text:
        return default
    try:
        return _in_range(float(text))
    except ValueError:
        pass
    try:
        # A plus sign of a query is a blank by the time it is here.
        parsed = datetime.fromisoformat(text.replace(" ", "+"))
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _wrong(name, "a time such as 2026-11-01 or 2026-11-01T12:00:00Z") from None


def _in_range(seconds: float) -> float:
    if not 0 <= seconds < 1e11:
        raise ValueError
    return seconds


def _wrong(name: str, what: str) -> Refused:
    return Refused(400, f"'{name}' must be {what}.", code="invalid_value", param=name)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
