"""The tier's Lua scripts."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from perflab.redis_link import Script


def _script(name: str) -> Script:
    return Script(files(__package__).joinpath(f"{name}.lua").read_text(encoding="utf-8"))


TAKE: Final = _script("take")
FILL: Final = _script("fill")
RELEASE: Final = _script("release")
VERSION: Final = _script("version")
