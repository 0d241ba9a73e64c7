"""Taking a Redis away and giving it back: killed where it is the lab's, cut off by a proxy else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from perflab.errors import PerflabError
from perflab.services import Redis
from perflab.services.proxy import Proxy

RESTARTED: Final = "the server was killed and started again, empty"
CUT: Final = "connections were cut and refused by a proxy; the server itself never stopped"


class NoProxy(PerflabError):
    """A proxy cannot stand before this server; the message says why."""


@dataclass(frozen=True)
class Strike:
    """An outage to come."""

    url: str
    """Where clients must connect."""
    cause: str
    strike: Callable[[], None]
    """Take the server away and give it back; returns when it is back."""


@contextmanager
def outage_for(redis: Redis, away_s: float) -> Iterator[Strike]:
    """An outage of at least ``away_s`` seconds; a NoProxy where a proxy would be refused.

    A server of the lab's own is killed and started again, and stays out of reach until the time
    is over. One that is not stays up: the proxy in front of it breaks every connection and
    refuses new ones meanwhile.
    """
    parts = urlsplit(redis.url())
    if parts.scheme != "redis":
        raise NoProxy(f"a proxy for {parts.scheme}:// would be refused as false")
    with Proxy(redis.host, redis.port) as proxy:

        def strike() -> None:
            until = time.monotonic() + away_s
            proxy.refuse()
            if redis.owned:
                redis.restart()
            proxy.cut()
            time.sleep(max(0.0, until - time.monotonic()))
            proxy.resume()

        yield Strike(through(parts, proxy), RESTARTED if redis.owned else CUT, strike)


def through(url: SplitResult, proxy: Proxy) -> str:
    """The URL with the proxy's address in place of the server's."""
    user, at, _address = url.netloc.rpartition("@")
    return urlunsplit(url._replace(netloc=f"{user}{at}{proxy.host}:{proxy.port}"))
