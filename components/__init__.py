"""Pulumi component resources: what is declared."""
