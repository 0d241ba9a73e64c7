"""The ``Cache-Status`` header field (RFC 9211): how each cache handled a request."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

import http_sf
import msgspec

from perflab.cache.entry import CacheError
from perflab.cache.ledger import Outcome
from perflab.cache.tiered import Answer

HEADER: Final = "Cache-Status"

_TOKEN: Final = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*")
"""RFC 9651, section 3.3.4."""

_PARAMETERS: Final[dict[str, tuple[type, ...]]] = {
    "hit": (bool,),
    "fwd": (http_sf.Token,),
    "fwd-status": (int,),
    "ttl": (int,),
    "stored": (bool,),
    "collapsed": (bool,),
    "key": (str,),
    "detail": (str, http_sf.Token),
}
"""RFC 9211, sections 2.1 to 2.8, with the types that they may have."""


class CacheStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One member of the field: what one cache did. None leaves a parameter out."""

    cache: str
    """The cache's name."""
    hit: bool = False
    """Satisfied without asking further (section 2.1)."""
    fwd: str | None = None
    """Why the request went further: ``uri-miss``, ``miss``, ``stale``, ``bypass``, ``request``,
    ``method``, ``vary-miss`` or ``partial`` (section 2.2)."""
    fwd_status: int | None = None
    """The status that came back from there (section 2.3)."""
    ttl: int | None = None
    """Seconds of freshness left; negative when stale (section 2.4)."""
    stored: bool | None = None
    """Whether the cache stored the response (section 2.5)."""
    collapsed: bool | None = None
    """Whether the request shared another one's way (section 2.6)."""
    key: str | None = None
    """Section 2.7."""
    detail: str | None = None
    """Section 2.8."""

    def __post_init__(self) -> None:
        if not self.cache:
            raise CacheError("a member of Cache-Status needs the name of a cache")
        if self.hit and self.fwd is not None:
            raise CacheError(f"{self.cache!r}: hit and fwd exclude each other (RFC 9211, 2.1)")
        if self.fwd is not None and not _TOKEN.fullmatch(self.fwd):
            raise CacheError(f"{self.cache!r}: fwd must be a token, not {self.fwd!r}")


def render(members: Iterable[CacheStatus]) -> str:
    """The field's value. The cache closest to the origin comes first (section 2).

    Empty without members: then the field is left out of a response.
    A CacheError names a text that a header cannot carry.
    """
    listed = [_member(member) for member in members]
    return http_sf.ser(listed) if listed else ""


def parse(value: str) -> tuple[CacheStatus, ...]:
    """The members of a field; several header lines are joined with ``", "`` before.

    Parameters that RFC 9211 does not know are left out. A CacheError says what is malformed.
    """
    try:
        members = http_sf.parse(value.encode("ascii"), tltype="list")
    except UnicodeEncodeError:
        raise CacheError(f"{HEADER} {value[:60]!r} is not ASCII") from None
    except http_sf.StructuredFieldError as error:
        raise CacheError(f"{HEADER} {value[:60]!r} is malformed: {error}") from None
    if not isinstance(members, list):
        raise CacheError(f"{HEADER} {value[:60]!r} is not a list")
    return tuple(map(_read, members))


def statuses(
    answer: Answer, now: float, *, memory: str | None = "memory", redis: str | None = "redis"
) -> tuple[CacheStatus, ...]:
    """One member for each tier that a request reached, the one closest to the source first.

    Args:
        answer: of ``TieredCache.trace``.
        now: wall-clock seconds.
        memory: the name of the memory tier; None where there is none.
        redis: the name of the Redis tier; None where there is none.
    """
    found = []
    if redis is not None and answer.redis not in (None, "coalesced"):
        found.append(_status(redis, answer, answer.redis, answer.loader, now))
    if memory is not None:
        found.append(_status(memory, answer, answer.memory, answer.redis, now))
    return tuple(found)


def _status(
    name: str, answer: Answer, outcome: Outcome | None, below: Outcome | None, now: float
) -> CacheStatus:
    if outcome in ("hit", "stale"):
        entry = answer.entry
        return CacheStatus(cache=name, hit=True, ttl=math.floor(entry.expires_at - now))
    return CacheStatus(
        cache=name,
        fwd="bypass" if outcome == "bypassed" else "miss",
        stored=True if answer.stored and outcome != "bypassed" else None,
        collapsed=True if below == "coalesced" else None,
        detail="unavailable" if outcome == "bypassed" else None,
    )


def _member(status: CacheStatus) -> Any:
    values = {
        "hit": True if status.hit else None,
        "fwd": None if status.fwd is None else http_sf.Token(status.fwd),
        "fwd-status": status.fwd_status,
        "ttl": status.ttl,
        "collapsed": status.collapsed,
        "stored": status.stored,
        "key": None if status.key is None else _string(status.key),
        "detail": None if status.detail is None else _token_or_string(status.detail),
    }
    parameters = {name: value for name, value in values.items() if value is not None}
    return (_token_or_string(status.cache), parameters)


def _token_or_string(text: str) -> str | http_sf.Token:
    return http_sf.Token(text) if _TOKEN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    """RFC 9651, section 3.3.3: printable ASCII."""
    if not (text.isascii() and text.isprintable()):
        raise CacheError(f"{HEADER} cannot carry {text[:60]!r}: only printable ASCII may be in it")
    return text


def _read(member: Any) -> CacheStatus:
    name, given = member if isinstance(member, tuple) else (member, {})
    if not isinstance(name, str | http_sf.Token):
        raise CacheError(f"{HEADER}: a member must be a token or string, not {_shown(name)}")
    fields: dict[str, Any] = {}
    for parameter, value in given.items():
        kinds = _PARAMETERS.get(parameter)
        if kinds is None:
            continue
        if type(value) not in kinds:
            raise CacheError(
                f"{HEADER}: {parameter}={_shown(value)} of {str(name)!r} is no value for it"
            )
        text = isinstance(value, http_sf.Token)
        fields[parameter.replace("-", "_")] = str(value) if text else value
    return CacheStatus(cache=str(name), **fields)


def _shown(value: object) -> str:
    return str(value) if isinstance(value, int | Decimal | http_sf.Token) else repr(value)
