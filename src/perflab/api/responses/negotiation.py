"""Which content codings a request accepts (RFC 9110 §12.4.2 and §12.5.3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from perflab.api.responses.codings import IDENTITY

_MEMBER: Final = re.compile(
    r"[ \t]*+(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]++)"
    r"(?:[ \t]*+;[ \t]*+[qQ]=(?P<q>0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?+[ \t]*+"
)
"""``codings [ weight ]`` (§12.5.3, §12.4.2)."""
_UNSAID: Final = 0.5
"""The weight of an identity that nothing speaks of: acceptable, and below every other."""
_REMEMBERED_LENGTH: Final = 200


def acceptable(accept_encoding: str | None, offered: tuple[str, ...]) -> tuple[str, ...]:
    """The acceptable ones of ``offered`` and ``identity``, the best first.

    The higher weight comes first; equal ones keep the order of ``offered``, and ``identity`` is
    the last of them. Empty where nothing is acceptable, ``identity`` included.

    A malformed member counts as not sent; of a coding sent twice the lower weight counts.

    Args:
        accept_encoding: the field's value, its lines joined with commas. None for a request
            without it: any coding is acceptable, and identity the one that everybody can read.
        offered: names of codings in lower case, the server's favourite first.
    """
    if accept_encoding is None:
        return (IDENTITY, *offered)
    if len(accept_encoding) <= _REMEMBERED_LENGTH:
        return _remembered(accept_encoding, offered)
    return _ordered(accept_encoding, offered)


def _ordered(accept_encoding: str, offered: tuple[str, ...]) -> tuple[str, ...]:
    listed = _weights(accept_encoding)
    others = listed.get("*")
    ranked: list[tuple[float, str]] = [(listed.get(name, others or 0), name) for name in offered]
    # identity is acceptable unless it, or "*" in its place, has weight 0 (§12.5.3, rule 2)
    ranked.append((listed.get(IDENTITY, _UNSAID if others is None else others), IDENTITY))
    ranked.sort(key=lambda one: -one[0])
    return tuple(name for weight, name in ranked if weight > 0)


_remembered = lru_cache(maxsize=1024)(_ordered)
"""Browsers send a handful of texts; reading one takes ten times as long as looking it up."""


def _weights(accept_encoding: str) -> dict[str, int]:
    """Thousandths by name in lower case."""
    weights: dict[str, int] = {}
    for member in accept_encoding.split(","):
        found = _MEMBER.fullmatch(member)
        if found is None:
            continue
        name = found["name"].lower()
        name = "gzip" if name == "x-gzip" else name  # §8.4.1.3
        weight = 1000 if found["q"] is None else round(float(found["q"]) * 1000)
        weights[name] = min(weight, weights.get(name, weight))
    return weights
