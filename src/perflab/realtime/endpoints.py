"""Which hub to connect to: the better of two drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import numpy as np

from perflab.realtime.errors import RealtimeError

FIRST_PENALTY_S: Final = 0.5
LONGEST_PENALTY_S: Final = 30.0
_SCHEMES: Final = ("ws", "wss")


@dataclass
class _Endpoint:
    url: str
    load: float = 0.0
    failures: int = 0
    avoided_until: float = float("-inf")


class Endpoints:
    """Chooses by "the power of two choices" (Mitzenmacher, IEEE TPDS 12(10), 2001).

    Always taking the least loaded would send a whole herd to the same one, since all know the same
    stale loads; two draws balance nearly as well and herd nobody. One that failed is avoided for a
    while that doubles with each failure, unless all are.

    Args:
        urls: ``ws://…`` or ``wss://…``, one at least.
        rng: seeded.
    """

    def __init__(self, urls: Sequence[str], rng: np.random.Generator) -> None:
        if isinstance(urls, str):
            raise RealtimeError("endpoints must be a list of addresses, not one string")
        if not urls:
            raise RealtimeError("endpoints is empty; give at least one ws:// address")
        for url in urls:
            check_address("endpoint", url, _SCHEMES)
        self._endpoints = {url: _Endpoint(url) for url in urls}
        self._rng = rng

    def choose(self, now: float) -> str:
        """The endpoint to try."""
        everyone = list(self._endpoints.values())
        well = [one for one in everyone if one.avoided_until <= now] or everyone
        if len(well) == 1:
            return well[0].url
        drawn = self._rng.choice(len(well), size=2, replace=False)
        return min((well[int(index)] for index in drawn), key=_cost).url

    def connected(self, url: str, load: float) -> None:
        """A connection was made; the hub says what share of its connections is taken."""
        endpoint = self._endpoints[url]
        endpoint.load = load
        endpoint.failures = 0
        endpoint.avoided_until = float("-inf")

    def failed(self, url: str, now: float, *, retry_after_s: float = 0.0) -> None:
        """It could not be reached, broke off, or sent the client away for some time.

        What is lost while it is avoided already, such as the other connections of a pool, is the
        same failure.
        """
        endpoint = self._endpoints[url]
        if now >= endpoint.avoided_until:
            endpoint.failures += 1
        penalty_s = min(LONGEST_PENALTY_S, FIRST_PENALTY_S * 2 ** (endpoint.failures - 1))
        until = now + max(penalty_s, retry_after_s)
        endpoint.avoided_until = max(endpoint.avoided_until, until)


def check_address(name: str, url: object, schemes: Sequence[str]) -> None:
    """A RealtimeError if ``url`` is no absolute address of one of the schemes."""
    text = url if isinstance(url, str) else ""
    login = "@" in text  # which a message does not repeat
    try:
        parts = urlsplit(text)
        usable = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none, half an IPv6 address
        usable = False
    if login or not usable:
        forms = " or ".join(f"{scheme}://host:port" for scheme in schemes)
        shown = "one with a login" if login else repr(url)[:80]
        raise RealtimeError(f"{name} must be an address like {forms}, not {shown}")


def _cost(endpoint: _Endpoint) -> tuple[int, float]:
    return endpoint.failures, endpoint.load
