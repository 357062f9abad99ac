"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _big(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _flag(*names: str) -> list[sa.Column[bool]]:
    return [sa.Column(name, sa.Boolean(), nullable=False) for name in names]


def _limits() -> list[sa.Column[int]]:
    return _big("requests_per_minute", "tokens_per_minute", "in_flight", "budget_nano_usd")


def upgrade() -> None:
    """Makes all tables."""
    op.create_table(
        "tenants",
        *_text("name"),
        *_big("weight"),
        *_limits(),
        *_text("origin"),
        sa.PrimaryKeyConstraint("name", name="pk_tenants"),
    )
    op.create_table(
        "api_keys",
        *_text("id", "tenant", "sha256", "prefix"),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        *_flag("revoked"),
        *_limits(),
        *_text("origin"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant"])
    op.create_table(
        "nodes",
        *_text("name", "url"),
        sa.Column("models", sa.JSON(), nullable=False),
        *_text("sealed_api_key"),
        *_big("max_in_flight"),
        *_text("tls_sha256"),
        *_flag("cordoned", "router"),
        *_text("origin"),
        sa.PrimaryKeyConstraint("name", name="pk_nodes"),
    )
    op.create_table(
        "models",
        *_text("name"),
        sa.Column("targets", sa.JSON(), nullable=False),
        *_big("prompt_nano_usd_per_million", "completion_nano_usd_per_million"),
        *_limits(),
        *_text("origin"),
        sa.PrimaryKeyConstraint("name", name="pk_models"),
    )
    op.create_table(
        "instance",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        *_limits(),
        *_text("origin"),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
    )
    changes = op.create_table(
        "changes",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=False),
        *_big("version"),
        sa.PrimaryKeyConstraint("id", name="pk_changes"),
    )
    op.bulk_insert(changes, [{"id": 1, "version": 1}])
    op.create_table(
        "ledger",
        *_text("request_id"),
        *_big("begun_us"),
        sa.Column("ended_us", sa.BigInteger()),
        *_text("tenant", "key_id", "asked_model", "model", "endpoint", "nodes", "result"),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("hops", sa.Integer(), nullable=False),
        *_flag("stream"),
        *_big("engine_prompt", "engine_completion", "prompt", "completion", "cached_prompt"),
        *_flag("estimated"),
        *_big("nano_usd"),
        sa.Column("ttft_us", sa.BigInteger()),
        sa.Column("duration_us", sa.BigInteger()),
        sa.PrimaryKeyConstraint("request_id", name="pk_ledger"),
    )
    op.create_index("ix_ledger_begun_us_request_id", "ledger", ["begun_us", "request_id"])
    op.create_table(
        "usage_months",
        *_text("month", "tenant", "key_id", "model"),
        *_big(
            "requests",
            "estimated",
            "engine_prompt",
            "engine_completion",
            "prompt",
            "completion",
            "cached_prompt",
            "nano_usd",
        ),
        sa.PrimaryKeyConstraint("month", "tenant", "key_id", "model", name="pk_usage_months"),
    )


def downgrade() -> None:
    """Drops all tables, and what is in them."""
    for table in ("usage_months", "ledger", "changes", "instance", "models", "nodes", "api_keys", "tenants"):
        op.drop_table(table)
