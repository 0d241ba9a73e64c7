"""Lua scripts, sent by their hash and in full where the server has lost them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

Argument = str | bytes | int
Command = tuple[Argument, ...]

_TEXTS: Final[dict[str, str]] = {}


class Script:
    """One script; every key that it touches must be among its keys."""

    def __init__(self, text: str) -> None:
        # what Redis names a script by; nothing rests on its being hard to forge
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        self.text = text
        _TEXTS[self.sha] = text

    def __call__(self, keys: Sequence[str], *arguments: Argument) -> Command:
        """The command that runs it, where the server knows it already."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


def in_full(command: Command) -> Command:
    """The same call with the script's text, for a server that answered NOSCRIPT."""
    return ("EVAL", _TEXTS[str(command[1])], *command[2:])
