"""``CDN-Cache-Control`` and ``Cache-Control`` in the words that nginx understands."""

from __future__ import annotations

import re

import http_sf

_FORBIDDING = ("no-store", "no-cache", "private")
_LIFETIME = re.compile(r"(?:^|[,\s])(?P<name>s-maxage|max-age)=(?P<s>\d+)", re.IGNORECASE)
_STALE = re.compile(r"(?:^|[,\s])stale-(?:while-revalidate|if-error)=(?P<s>\d+)", re.IGNORECASE)
_STALE_MEMBER = re.compile(r"\s*stale-(?:while-revalidate|if-error)(?:=[^,]*)?\s*", re.IGNORECASE)
_MUST_REVALIDATE = re.compile(r"(?:^|[,\s])(?:must|proxy)-revalidate(?:[,\s]|$)", re.IGNORECASE)


def from_targeted(value: str) -> str | None:
    """``CDN-Cache-Control`` as a ``Cache-Control`` for nginx (RFC 9213 §2.1).

    None where the field is empty or no valid dictionary, and so to be ignored. What nginx cannot
    do (store and validate each time) becomes "do not store".
    """
    try:
        found = http_sf.parse(value.encode("latin-1"), tltype="dictionary")
    except http_sf.StructuredFieldError:
        return None
    if not isinstance(found, dict) or not found:
        return None
    given = {name: member[0] for name, member in found.items() if isinstance(member, tuple)}
    forbidden = any(given.get(name, False) is not False for name in _FORBIDDING)
    seconds = {
        name: number
        for name, number in given.items()
        if isinstance(number, int) and not isinstance(number, bool) and number > 0
    }
    fresh_s = seconds.get("s-maxage") if "s-maxage" in given else seconds.get("max-age")
    if forbidden or not fresh_s:
        return "no-store"
    words = [f"max-age={fresh_s}"]
    if not (given.get("must-revalidate") or given.get("proxy-revalidate")):
        stale = ("stale-while-revalidate", "stale-if-error")
        words += [f"{name}={seconds[name]}" for name in stale if name in seconds]
    return ", ".join(words)


def from_plain(value: str) -> str:
    """``Cache-Control`` without the permission to serve stale, where another word forbids that."""
    if not _MUST_REVALIDATE.search(value):
        return value
    words = (word for word in value.split(",") if not _STALE_MEMBER.fullmatch(word))
    return ", ".join(word.strip() for word in words)


def served_s(control: str) -> float:
    """How long at most nginx serves a response with this ``Cache-Control``; 0 if it stores none."""
    if any(word in control.lower() for word in _FORBIDDING):
        return 0.0
    lifetimes = {found["name"].lower(): float(found["s"]) for found in _LIFETIME.finditer(control)}
    fresh_s = lifetimes.get("s-maxage", lifetimes.get("max-age", 0.0))
    if not fresh_s:
        return 0.0
    return fresh_s + max((float(found["s"]) for found in _STALE.finditer(control)), default=0.0)
