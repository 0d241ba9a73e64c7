"""Passwords: argon2id in worker threads, and the same work whether there is an account or not."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerificationError

from perflab.api.problems import Problem

MEMORY_KIB: Final = 19 * 1024
TIME_COST: Final = 2
PARALLELISM: Final = 1
"""19 MiB, two passes, one lane: the first choice of OWASP's password storage cheat sheet."""
MOST_WAITING: Final = 64
"""Verifications that may be under way or wait for a thread; one more is answered with 503."""

_HASHER: Final = argon2.PasswordHasher(
    time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM, type=argon2.Type.ID
)


def hash_password(password: str) -> str:
    """The hash to store, with parameters and salt; takes tens of milliseconds."""
    return _HASHER.hash(password)


class Passwords:
    """Verifies passwords without holding up the event loop.

    Args:
        threads: that verify at the same time.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="perflab-password")
        # of a password that nobody has, so that an unknown account costs one verification too
        self._nobodys = hash_password("\x00")
        self._waiting = 0

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is the stored hash's; always one verification.

        False where there is no hash. A 503 while too many are waiting.
        """
        if self._waiting >= MOST_WAITING:
            raise Problem(503, "too many logins at once; try again", {"retry-after": "1"})
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            known = self._nobodys if stored is None else stored
            right = await loop.run_in_executor(self._threads, matches, known, password)
        finally:
            self._waiting -= 1
        return right and stored is not None

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=True, cancel_futures=True)


def matches(stored: str, password: str) -> bool:
    """One verification, in whichever thread it is called."""
    try:
        return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
