"""What the stand-in of a vLLM node answers, by the same rule as its text.go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_OFFSET, _PRIME, _MASK = 14695981039346656037, 1099511628211, (1 << 64) - 1
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_ENDINGS = ("a", "é", '"', "\\", "\n", "日", "😀", "<")
#: Characters of one token.
LENGTH = 7


def answer(messages: Sequence[Mapping[str, str]], tokens: int, choice: int = 0) -> str:
    """The text of an answer in chat."""
    said = "".join(f"{message['role']}\0{message['content']}\1" for message in messages)
    return _generate(_feed(_OFFSET, said + "\2" * choice), tokens)


def completion(prompt: str, tokens: int) -> str:
    """The text of a completion."""
    return _generate(_feed(_OFFSET, prompt), tokens)


def _feed(state: int, text: str) -> int:
    for byte in text.encode():
        state = ((state ^ byte) * _PRIME) & _MASK
    return state


def _generate(state: int, tokens: int) -> str:
    text = []
    for _ in range(tokens):
        mixed = state ^ (state >> 29)
        letters = "".join(_DIGITS[mixed >> shift & 31] for shift in (0, 5, 10, 15))
        text.append(f" t{letters}{_ENDINGS[mixed >> 20 & 7]}")
        state = _feed(state, text[-1])
    return "".join(text)
