"""Pydantic models of the stack file. Imports no Pulumi and nothing of ours."""
