"""Runs a module such as `pulumi.policy` behind the fence."""

import runpy
import sys

from .fence import raise_fence


def main(arguments: list[str]) -> None:
    """Runs the module as if by `python -m`.

    Args:
        arguments: the module's name and its arguments.
    """
    raise_fence()
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
