"""The Lua scripts, sent by their hash."""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

Argument = str | bytes | int
Command = tuple[Argument, ...]


class Script:
    """One script of this package, by the name of its file."""

    def __init__(self, name: str) -> None:
        self.text = files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8")
        # what Redis names a script by; nothing rests on its being hard to forge
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, keys: tuple[str, ...], *arguments: Argument) -> Command:
        """The command that runs it, where the server knows it already."""
        return ("EVALSHA", self.sha, len(keys), *keys, *arguments)


TAKE: Final = Script("take")
FILL: Final = Script("fill")
RELEASE: Final = Script("release")
VERSION: Final = Script("version")

_TEXTS: Final = {script.sha: script.text for script in (TAKE, FILL, RELEASE, VERSION)}


def in_full(command: Command) -> Command:
    """The same call with the script's text, for a server that answered NOSCRIPT."""
    return ("EVAL", _TEXTS[str(command[1])], *command[2:])
