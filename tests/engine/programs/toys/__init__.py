"""A resource that does what its inputs say, for tests of the host."""
