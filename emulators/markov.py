"""A tiny language model: chains of words learnt from one page. The shape of a model, not its wits.

Its one useful property: the next word depends on the seed, the prompt and the answer so far, and on nothing
else. So an answer that was cut can be continued elsewhere, word for word.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

_TOKEN = re.compile(r"\s*(?:\w+(?:'\w+)?|[^\w\s])|\s+$")
END = ""
"""The token that ends an answer."""


def tokenize(text: str) -> list[str]:
    """Words and signs, each with the space before it; joined they give the text again."""
    return _TOKEN.findall(text)


class Markov:
    """The model.

    Args:
        corpus: Paragraphs separated by empty lines; each ends an answer.
    """

    def __init__(self, corpus: str) -> None:
        self._after: dict[tuple[str, ...], list[str]] = {}
        self._starts: list[str] = []
        for paragraph in corpus.split("\n\n"):
            tokens = [*tokenize(" ".join(paragraph.split())), END]
            self._starts.append(tokens[0])
            words = [token.strip() for token in tokens]
            for index in range(1, len(tokens)):
                for width in (1, 2):
                    if index >= width:
                        self._after.setdefault(tuple(words[index - width : index]), []).append(tokens[index])

    def next(self, prompt: str, so_far: Sequence[str], seed: int, temperature: float) -> str:
        """The next token; `END` ends the answer.

        Args:
            prompt: Everything before the answer, as one text.
            so_far: The tokens of the answer up to here.
            seed: Same seed, same answer.
            temperature: 0: only successors of the last two words where there are any. Higher: now and then of
                one.
        """
        draw = _draw(prompt, len(so_far), so_far[-1].strip() if so_far else "", seed)
        if not so_far:
            return self._starts[draw % len(self._starts)]
        words = tuple(token.strip() for token in so_far[-2:])
        wide = self._after.get(words)
        narrow = self._after.get(words[-1:])
        choices = narrow if narrow and temperature > 0 and draw % 1000 < 200 * temperature else wide or narrow
        if not choices:
            start = self._starts[draw % len(self._starts)]
            return f" {start}"
        return choices[(draw >> 16) % len(choices)]

    def generate(
        self, prompt: str, so_far: Sequence[str], *, seed: int, temperature: float, ignore_end: bool = False
    ) -> Iterator[str]:
        """The tokens of the answer from here on; endless with `ignore_end`."""
        tokens = list(so_far)
        while True:
            token = self.next(prompt, tokens, seed, temperature)
            if token == END:
                if not ignore_end:
                    return
                start = self._starts[_draw(prompt, len(tokens), "", seed) % len(self._starts)]
                token = f" {start}"
            tokens.append(token)
            yield token


def _draw(prompt: str, position: int, last: str, seed: int) -> int:
    text = f"{seed}\0{prompt}\0{position}\0{last}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


@cache
def built_in() -> Markov:
    """The model trained on the text that comes with the emulators."""
    return Markov((Path(__file__).parent / "corpus.txt").read_text(encoding="utf-8"))
