"""Tables.

Money is whole nano-USD (1 USD = 10**9), so that sums are exact and the price of a single token is not
rounded away.
Times are whole microseconds since the epoch, UTC. Both fit 64 bits, and are the same on both databases.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Boolean, Double, Index, Integer, MetaData, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NANO = 1_000_000_000
SEED = "seed"
ADMIN = "admin"


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(
        naming_convention={"pk": "pk_%(table_name)s", "ix": "ix_%(table_name)s_%(column_0_N_name)s"}
    )


class _Declared:
    """What rows of declared objects have in common."""

    origin: Mapped[str] = mapped_column(Text)
    """`seed` or `admin`: who put it here last. A seed replaces only what a seed put here."""


class _Limited:
    """Limits; 0 is none."""

    requests_per_minute: Mapped[int] = mapped_column(BigInteger)
    tokens_per_minute: Mapped[int] = mapped_column(BigInteger)
    in_flight: Mapped[int] = mapped_column(BigInteger)
    budget_nano_usd: Mapped[int] = mapped_column(BigInteger)


class TenantRow(_Declared, _Limited, Base):
    """A customer."""

    __tablename__ = "tenants"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    weight: Mapped[int] = mapped_column(BigInteger)


class ApiKeyRow(_Declared, _Limited, Base):
    """A customer's key: only its hash."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(Text, primary_key=True)
    tenant: Mapped[str] = mapped_column(Text, index=True)
    sha256: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    scopes: Mapped[list[str]] = mapped_column(JSON)
    models: Mapped[list[str]] = mapped_column(JSON)
    expires_at: Mapped[float] = mapped_column(Double)
    revoked: Mapped[bool] = mapped_column(Boolean)


class NodeRow(_Declared, Base):
    """An upstream. Its key is sealed (sealing.py)."""

    __tablename__ = "nodes"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    url: Mapped[str] = mapped_column(Text)
    models: Mapped[list[str]] = mapped_column(JSON)
    sealed_api_key: Mapped[str] = mapped_column(Text)
    max_in_flight: Mapped[int] = mapped_column(BigInteger)
    tls_sha256: Mapped[str] = mapped_column(Text)
    cordoned: Mapped[bool] = mapped_column(Boolean)
    router: Mapped[bool] = mapped_column(Boolean)


class ModelRow(_Declared, _Limited, Base):
    """A model or an alias."""

    __tablename__ = "models"
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    targets: Mapped[list[list[str | int]]] = mapped_column(JSON)
    prompt_nano_usd_per_million: Mapped[int] = mapped_column(BigInteger)
    completion_nano_usd_per_million: Mapped[int] = mapped_column(BigInteger)


class InstanceRow(_Declared, _Limited, Base):
    """Limits of the whole gateway: one row, or none."""

    __tablename__ = "instance"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class ChangeRow(Base):
    """One row: a number that every change of a declared object raises, in the same transaction."""

    __tablename__ = "changes"
    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(BigInteger)


class LedgerEntry(Base):
    """A request; store/rows.py says what each column means."""

    __tablename__ = "ledger"
    request_id: Mapped[str] = mapped_column(Text, primary_key=True)
    begun_us: Mapped[int] = mapped_column(BigInteger)
    ended_us: Mapped[int | None] = mapped_column(BigInteger)
    tenant: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(Text)
    asked_model: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    endpoint: Mapped[str] = mapped_column(Text)
    nodes: Mapped[str] = mapped_column(Text)
    result: Mapped[str] = mapped_column(Text)
    status: Mapped[int] = mapped_column(Integer)
    hops: Mapped[int] = mapped_column(Integer)
    stream: Mapped[bool] = mapped_column(Boolean)
    engine_prompt: Mapped[int] = mapped_column(BigInteger)
    engine_completion: Mapped[int] = mapped_column(BigInteger)
    prompt: Mapped[int] = mapped_column(BigInteger)
    completion: Mapped[int] = mapped_column(BigInteger)
    cached_prompt: Mapped[int] = mapped_column(BigInteger)
    estimated: Mapped[bool] = mapped_column(Boolean)
    nano_usd: Mapped[int] = mapped_column(BigInteger)
    ttft_us: Mapped[int | None] = mapped_column(BigInteger)
    duration_us: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index(None, "begun_us", "request_id"),)


class UsageRow(Base):
    """Sums of the ledger: a month (UTC, by when requests began), a tenant, a key, a model."""

    __tablename__ = "usage_months"
    month: Mapped[str] = mapped_column(Text, primary_key=True)
    tenant: Mapped[str] = mapped_column(Text, primary_key=True)
    key_id: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    estimated: Mapped[int] = mapped_column(BigInteger)
    engine_prompt: Mapped[int] = mapped_column(BigInteger)
    engine_completion: Mapped[int] = mapped_column(BigInteger)
    prompt: Mapped[int] = mapped_column(BigInteger)
    completion: Mapped[int] = mapped_column(BigInteger)
    cached_prompt: Mapped[int] = mapped_column(BigInteger)
    nano_usd: Mapped[int] = mapped_column(BigInteger)
