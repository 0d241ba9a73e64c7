"""Responses made before: the same request and the same answer of an application again."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final, TypeAlias

import msgspec

from perflab.api.responses.tags_passed import RawFields
from perflab.api.responses.validators import EntityTag
from perflab.cache.sieve import Sieve

Pairs: TypeAlias = tuple[tuple[bytes, bytes], ...]
Key: TypeAlias = tuple[str, str | None, int, int, bytes]
"""All that a response is made of but for the conditions: the method, the codings that are
acceptable, and the application's status, fields (by their number) and body."""

OVERHEAD_BYTES: Final = 2_000
"""Added for the fields of the response, by and large."""
LARGEST_BYTES: Final = 64 * 2**10
"""Of both bodies and what was asked; more is worth making a response for each time."""
_ENTRIES: Final = 2**31
_FIELDS: Final = 8192
"""The length of a body is among them."""


class Made(msgspec.Struct, gc=False):
    """A response as it is sent where no condition says otherwise."""

    status: int
    fields: RawFields
    """Copied for each sending, since who sends it on may add to them."""
    body: bytes
    coded: bool
    """Whether the body is under a coding."""
    tag: EntityTag | None
    """The ETag that it carries, if conditions count."""
    unchanged: Made | None = None
    """The 304 in its place, once that was asked for."""


class RememberedStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of Remembered."""

    hits: int
    misses: int
    entries: int
    size_bytes: int
    """Of what is held now."""


class Remembered:
    """At most ``max_bytes`` of responses, evicted by SIEVE.

    A body is hashed once as long as the application hands over the same object, as it does with
    one out of its own memory.
    """

    def __init__(self, max_bytes: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._held: Sieve[Key, Made] = Sieve(_ENTRIES, max_bytes=max_bytes, clock=clock)
        self.get = self._held.get
        numbers = itertools.count()
        self.number = lru_cache(_FIELDS)(lambda fields: next(numbers))
        """A number for an application's fields, which many responses share: what is looked up for
        one client then differs from the next one's in the body alone."""

    def keep(self, key: Key, made: Made) -> None:
        """Remember a response, unless it or what was asked is large."""
        _, accepted, _, _, body = key
        size_bytes = len(body) + len(made.body) + len(accepted or "")
        if size_bytes <= LARGEST_BYTES:
            self._held.set(key, made, size_bytes=size_bytes + OVERHEAD_BYTES)

    def stats(self) -> RememberedStats:
        """The figures so far."""
        held = self._held.stats()
        return RememberedStats(
            hits=held.hits, misses=held.misses, entries=held.entries, size_bytes=held.size_bytes
        )
