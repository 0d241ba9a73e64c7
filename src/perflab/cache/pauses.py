"""After a failure nothing is tried again at once."""

from __future__ import annotations

import asyncio
from typing import Final

RETRY_S: Final = 1.0
"""After a failed refresh the stale value is served for so long before the next attempt, and a
purge that Redis did not hear of is sent again as often."""

_MOST: Final = 1000


class Pauses:
    """Keys whose load has just failed; a bounded number of them, in the event loop's time."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def __contains__(self, key: str) -> bool:
        until = self._until.get(key)
        return until is not None and asyncio.get_running_loop().time() < until

    def note(self, key: str, *, failed: bool) -> None:
        """How a load of the key has ended."""
        if not failed:
            self._until.pop(key, None)
            return
        now = asyncio.get_running_loop().time()
        if len(self._until) >= _MOST:
            self._until = {key: until for key, until in self._until.items() if until > now}
        if len(self._until) < _MOST:
            self._until[key] = now + RETRY_S
