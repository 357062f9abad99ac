"""Tests of what a change shows before it is applied, and of the backends that keep the state."""
