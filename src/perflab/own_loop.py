"""What belongs to one event loop says so where another one uses it."""

from __future__ import annotations

import asyncio


class OwnLoop:
    """The event loop that an object belongs to: the first in which ``check`` was called.

    Futures, tasks and connections of one loop hang or fail obscurely in another.

    Args:
        what: the object's class, for the message.
        error: what is raised in any other loop.
    """

    __slots__ = ("_error", "_loop", "_what")

    def __init__(self, what: str, error: type[Exception]) -> None:
        self._what = what
        self._error = error
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Return in the object's own loop; the error says what to do in another, or in none."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise self._error(
                f"a {self._what} needs an event loop; make and use it in an async function"
            ) from None
        if loop is not self._loop:
            if self._loop is not None:
                raise self._error(
                    f"this {self._what} belongs to another event loop, which used it first; make"
                    " one for each event loop, that is for each asyncio.run and each thread"
                )
            self._loop = loop
