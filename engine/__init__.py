"""Puts a working Pulumi engine and its plugins on a machine."""
