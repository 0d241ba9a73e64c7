"""Who may read and write which channel: a hook, and the rule where none is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

Action: TypeAlias = Literal["subscribe", "publish"]
Access: TypeAlias = Callable[[str, str, Action], bool]
"""Whether a user (an id in text) may do that with a channel; called often, so it asks nobody."""

_OWNED: Final = "user:"


def own_or_shared(user: str, channel: str, action: Action) -> bool:
    """``user:7`` and ``user:7:…`` are user 7's alone; every other channel is everybody's."""
    if not channel.startswith(_OWNED):
        return True
    return channel.removeprefix(_OWNED).partition(":")[0] == user
