"""The one error of this room."""


class EngineError(Exception):
    """No engine can be had, or one step of getting it failed. The message is one line, meant for a person."""
