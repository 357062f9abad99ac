"""Puts a working Pulumi engine on this machine and says how to run it.

Standard library only: it also runs before anything is installed.
"""

from engine.environment import environment
from engine.errors import EngineError
from engine.installed import Engine, ensure, locate

__all__ = ["Engine", "EngineError", "ensure", "environment", "locate"]
