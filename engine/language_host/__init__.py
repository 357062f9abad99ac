"""A stand-in for Pulumi's Python language host, for machines where the official one can't be had.

It is copied beside the engine and runs under the Python of the project that it serves, so it imports nothing
of this repository, and of the SDK only what the SDK's automation API publishes for running programs.
"""
