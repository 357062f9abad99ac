"""Alembic's folder. Migrations run by themselves at start (store/migrating.py), on SQLite and PostgreSQL."""
