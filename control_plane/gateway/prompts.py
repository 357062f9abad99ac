"""What is seen of a prompt without parsing it: about how long it is, and what it begins with."""

from __future__ import annotations

from hashlib import blake2b

from msgspec import Raw

BYTES_PER_TOKEN = 4
"""What a token has on average; only for the reservation, which is settled with the node's own count."""
TOKENS_PER_IMAGE = 1000
"""What an image that stands in the request counts as, instead of its bytes."""
_PREFIX_BYTES = 4096


def estimate(prompt: Raw, body: bytes) -> int:
    """Tokens of a prompt, from its bytes; tokens that are given as numbers are counted.

    Args:
        prompt: The prompt's or the messages' JSON.
        body: The whole request, which it is part of.
    """
    view = memoryview(prompt)
    if bytes(view[:1]) == b"[" and bytes(view[1:64]).lstrip(b" \n\r\t[")[:1].isdigit():
        return bytes(view).count(b",") + 1
    length = len(view)
    extra = 0
    if length > 1000 and b";base64," in body:
        text = bytes(view)
        at = text.find(b";base64,")
        while at >= 0:
            end = text.find(b'"', at)
            length -= end - at
            extra += TOKENS_PER_IMAGE
            at = text.find(b";base64,", end)
    return length // BYTES_PER_TOKEN + extra + 1


def prefix(model: str, prompt: Raw) -> int:
    """Hash of a conversation's beginning: of everything up to the end of its first message by the user.

    So the turns of one conversation, and conversations with the same long system prompt, have the same.

    Args:
        model: The model's name: another one has another cache.
        prompt: The prompt's or the messages' JSON.
    """
    text = bytes(memoryview(prompt)[:_PREFIX_BYTES])
    user = text.find(b'"user"')
    if user >= 0:
        following = text.find(b'"role"', user)
        if following >= 0:
            text = text[:following]
    digest = blake2b(text.rstrip(b' \n\r\t,{}[]"'), digest_size=8, key=model.encode()[:64]).digest()
    return int.from_bytes(digest, "big")
