"""What the tiers hand each other: entries, leases, invalidations, and the rule for names."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable
from typing import Any, Final, Literal

import msgspec

from perflab.errors import PerflabError

MAX_NAME_BYTES: Final = 512
"""Of a key or a tag, in UTF-8."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SAFE_LENGTH: Final = MAX_NAME_BYTES // 4
"""Characters that stay within MAX_NAME_BYTES whatever they are."""
_SHOWN_LENGTH: Final = 40


class CacheError(PerflabError):
    """A cache was asked for something impossible; the message names the input."""


class Absent(enum.Enum):
    """The type of ``ABSENT``."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT
"""The value of a negative entry: the loader was asked, and there is nothing."""


class Entry(msgspec.Struct, frozen=True, eq=False, gc=False):
    """One cached value and what is needed to judge it. Times are wall-clock seconds."""

    value: Any
    """What the loader returned, or ``ABSENT``."""
    loaded_at: float
    """When the loader *started*: the value may lack whatever was written after that."""
    expires_at: float
    """Fresh until then."""
    stale_until: float
    """May be served stale until then; equal to ``expires_at`` where that is not wanted."""
    load_s: float = 0.0
    """How long the loader took: the delta of XFetch."""
    tags: tuple[str, ...] = ()
    """What invalidates it, besides its key."""
    versions: tuple[bytes, ...] = ()
    """What the Redis tier checks it against; opaque, and empty outside that tier."""

    def __eq__(self, other: object) -> bool:
        """Whether they say the same, one perhaps as a tier has read it."""
        if not isinstance(other, Entry):
            return NotImplemented
        return msgspec.structs.astuple(self) == msgspec.structs.astuple(other)


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """The answer of a shared tier."""

    state: Literal["hit", "stale", "miss", "unavailable"]
    """``unavailable``: the tier is down, too slow, or not asked because it was so lately."""
    entry: Entry | None = None
    """For ``hit`` and ``stale``."""
    size_bytes: int = 0
    """As stored, for ``hit`` and ``stale``."""


class Lease(msgspec.Struct, frozen=True):
    """The right to fill one key, for whoever loads it. Taken before the loader starts."""

    key: str
    token: str
    """Tells this holder from any other."""
    tags: tuple[str, ...]
    versions: tuple[bytes, ...]
    """Of the tags, as read before the load; opaque."""
    expires_at: float
    """Wall-clock seconds; after that somebody else may load."""


class Invalidation(msgspec.Struct, frozen=True):
    """What must not be served any more."""

    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    everything: bool = False


def check_name(name: str, kind: str = "key") -> str:
    """``name`` itself if it can be a key or tag, else a CacheError.

    A name is a non-empty string of at most MAX_NAME_BYTES without control characters.
    """
    if isinstance(name, str) and 0 < len(name) <= _SAFE_LENGTH:
        if name.isprintable():
            return name  # the usual case, decided quickly
    elif not isinstance(name, str):
        raise CacheError(f"a cache {kind} must be a string, not {type(name).__name__}")
    elif not name:
        raise CacheError(f"a cache {kind} must not be empty")
    if _CONTROL.search(name):
        raise CacheError(f"the cache {kind} {_shown(name)} contains control characters")
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise CacheError(f"the cache {kind} {_shown(name)} is not valid Unicode") from None
    if size_bytes > MAX_NAME_BYTES:
        raise CacheError(
            f"the cache {kind} {_shown(name)} is {size_bytes} bytes long, more than"
            f" {MAX_NAME_BYTES}; use a hash of it"
        )
    return name


def check_names(names: Iterable[str], kind: str = "key") -> tuple[str, ...]:
    """The names without repetitions in a fixed order, if each can be one, else a CacheError."""
    if isinstance(names, str):
        raise CacheError(f"cache {kind}s must be a collection, not the string {_shown(names)}")
    if not isinstance(names, Iterable):
        raise CacheError(f"cache {kind}s must be a collection, not {type(names).__name__}")
    return tuple(sorted({check_name(name, kind) for name in names}))


def check_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """The tags without repetitions in a fixed order, if each can be one, else a CacheError."""
    return check_names(tags, "tag")


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_LENGTH else name[:_SHOWN_LENGTH] + "…")
