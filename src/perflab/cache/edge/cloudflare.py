"""Cloudflare as an edge, through its official client (the extra ``cloudflare``).

This was tested against a local stand-in that speaks the shapes of Cloudflare's documentation. It
was never run against Cloudflare itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec

from perflab.arguments import check_seconds
from perflab.cache.edge.names import several
from perflab.cache.edge.protocol import EdgeError, Purged
from perflab.cache.edge.token_bucket import TokenBucket
from perflab.cache.edge.wanted import wanted
from perflab.closing import Closing
from perflab.own_loop import OwnLoop

TOKEN_ENV: Final = "CLOUDFLARE_API_TOKEN"  # noqa: S105 - the variable's name
API: Final = "https://api.cloudflare.com/client/v4"
ATTEMPTS: Final = 5
LONGEST_WAIT_S: Final = 120.0
"""A ``Retry-After`` beyond that ends the purge with an error."""
_FIRST_WAIT_S: Final = 0.5
_ZONE = re.compile("[0-9a-f]{32}")
_SECONDS = re.compile("[0-9]{1,9}")
_RETRIED = (408, 429)

Plan: TypeAlias = Literal["free", "pro", "business", "enterprise"]


class Limits(msgspec.Struct, frozen=True):
    """What a plan allows an account."""

    requests_per_s: float
    """For tags, prefixes and everything, on the average."""
    bucket: int
    """Such requests at once."""
    urls_per_s: int
    names: int
    """Tags or prefixes in one request."""
    urls: int
    """URLs in one request."""


LIMITS: Final[dict[Plan, Limits]] = {
    "free": Limits(5 / 60, 25, 800, 100, 100),
    "pro": Limits(5, 25, 1_500, 100, 100),
    "business": Limits(10, 50, 1_500, 100, 100),
    "enterprise": Limits(50, 500, 3_000, 100, 500),
}
"""From Cloudflare's "Purge cache: availability and limits"."""


class CloudflareStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a CloudflareEdge."""

    purges: int
    requests: int
    """Calls of the API, repeated ones included."""
    retries: int
    limited: int
    """Calls that were answered with 429."""


class CloudflareEdge(Closing):
    """One zone's cache at Cloudflare.

    The token is read from the environment (``CLOUDFLARE_API_TOKEN``) and needs the permission
    Zone, Cache Purge. Purges keep to the plan's limits by waiting; a call that is refused with
    429, or fails with a 5xx or without an answer, is repeated after what ``Retry-After`` says,
    else after half a second, doubled each time.

    Cloudflare keeps one variant per URL and chooses the coding by itself, so a URL purges all of
    them; a zone whose cache key holds more (device, country, other headers) needs purges by tag
    or prefix. It stores JSON and HTML only where a Cache Rule says so, and nothing with
    ``Set-Cookie``. How many responses were dropped it does not say.

    Args:
        zone_id: as in the zone's overview, 32 hexadecimal digits.
        plan: of the account, which the limits are for. All purging processes of an account
            share them, and 429 tells of what the others used.
        api: where the API is.
        timeout_s: for one call.
        clock, wall, sleep, rng: time and chance, injected.
    """

    def __init__(
        self,
        zone_id: str,
        plan: Plan = "free",
        *,
        api: str = API,
        timeout_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
    ) -> None:
        if not isinstance(zone_id, str) or not _ZONE.fullmatch(zone_id):
            raise EdgeError(f"{zone_id!r} is no zone id of Cloudflare: 32 hexadecimal digits")
        if not isinstance(plan, str) or plan not in LIMITS:
            raise EdgeError(f"plan {plan!r} is unknown; known: {', '.join(LIMITS)}")
        check_seconds("timeout_s", timeout_s, EdgeError)
        _check_api(api)
        self._home = OwnLoop("CloudflareEdge", EdgeError)
        self._zone = zone_id
        self._limits = LIMITS[plan]
        self._client = _client(api, timeout_s)
        self._requests = TokenBucket(
            self._limits.requests_per_s, self._limits.bucket, clock=clock, sleep=sleep
        )
        per_s = self._limits.urls_per_s
        self._urls = TokenBucket(per_s, per_s, clock=clock, sleep=sleep)
        self._wall = wall
        self._sleep = sleep
        self._rng = rng or random.Random()  # noqa: S311 - spreads times, protects nothing
        self._purges = self._calls = self._retries = self._limited = 0

    def __repr__(self) -> str:
        return f"<CloudflareEdge of zone {self._zone}>"

    async def purge(
        self,
        *,
        urls: Iterable[str] = (),
        tags: Iterable[str] = (),
        prefixes: Iterable[str] = (),
        everything: bool = False,
    ) -> Purged:
        """Drop stored responses; see ``Edge.purge``.

        An EdgeError names what Cloudflare answered, and how much was done before.
        """
        self._home.check()
        urls = tuple(several(urls, "urls"))
        asked = wanted(urls=urls, tags=tags, prefixes=prefixes, everything=everything)
        named = {
            "files": sorted(set(urls)),  # with scheme and as given, which is how it wants them
            "tags": sorted(asked.tags),
            "prefixes": sorted(asked.prefixes),
        }
        names = 1 if everything else sum(map(len, named.values()))
        if not names:
            return Purged(names=0, removed=None)
        self._purges += 1
        before, done = self._calls, 0
        for kind, some in [("purge_everything", [])] if everything else self._batches(named):
            body = {kind: some or True}
            failure = await self._call(body, self._urls if kind == "files" else self._requests)
            if failure:
                part = f"; {done} of {names} names had been purged" if done else ""
                raise EdgeError(failure + part)
            done += len(some)
        return Purged(names=names, removed=None, requests=self._calls - before)

    async def close(self) -> None:
        """Close the connections."""
        self._home.check()
        await self._client.close()

    def stats(self) -> CloudflareStats:
        """The figures so far."""
        return CloudflareStats(
            purges=self._purges, requests=self._calls, retries=self._retries, limited=self._limited
        )

    def _batches(self, named: dict[str, list[str]]) -> list[tuple[str, list[str]]]:
        """One request each: one kind of names, no more than the plan allows."""
        found = []
        for kind, names in named.items():
            size = self._limits.urls if kind == "files" else self._limits.names
            found += [(kind, names[at : at + size]) for at in range(0, len(names), size)]
        return found

    async def _call(self, body: dict[str, Any], bucket: TokenBucket) -> str:
        """Send one request until it is answered; empty, or what went wrong."""
        attempt = 0
        while True:
            await bucket.take(len(body["files"]) if "files" in body else 1)
            self._calls += 1
            failed = await self._send(body)
            if failed is None:
                return ""
            if failed.status == 429:
                self._limited += 1
                bucket.empty()
            attempt += 1
            wait_s = self._wait_s(failed, attempt)
            if not failed.passes or attempt == ATTEMPTS or wait_s > LONGEST_WAIT_S:
                return f"Cloudflare did not purge zone {self._zone}: {failed}"
            self._retries += 1
            await self._sleep(wait_s)

    async def _send(self, body: dict[str, Any]) -> _Failed | None:
        """One call; None when Cloudflare confirmed it.

        The client's exceptions hold the request, and so the token: none leaves this method.
        """
        from cloudflare import APIConnectionError, APIError, APIStatusError

        try:
            answer = await self._client.cache.purge(zone_id=self._zone, **body)
        except APIStatusError as error:
            said = [
                f"{one.code} {one.message}" for one in error.errors or [] if one and one.message
            ]
            text = self._without_token(", ".join([f"HTTP {error.status_code}", *said]))
            return _Failed(error.status_code, text, error.response.headers.get("retry-after", ""))
        except APIConnectionError:
            return _Failed(0, "no answer")
        except (APIError, ValueError):  # the client lets the JSON decoder's error through
            return _Failed(0, "an answer that is not in the documented form")
        if answer is None:
            return _Failed(400, "it did not confirm")
        return None

    def _without_token(self, text: str) -> str:
        return " ".join(text.replace(str(self._client.api_token), "[token]").split())

    def _wait_s(self, failed: _Failed, attempt: int) -> float:
        """Seconds until the next attempt (RFC 9110 §10.2.3)."""
        backoff_s: float = _FIRST_WAIT_S * 2.0 ** (attempt - 1) * self._rng.uniform(0.75, 1.25)
        if _SECONDS.fullmatch(failed.retry_after):
            return max(float(failed.retry_after), backoff_s)
        try:
            until = parsedate_to_datetime(failed.retry_after).timestamp()
        except ValueError:
            return backoff_s
        return max(until - self._wall(), backoff_s)


class _Failed(msgspec.Struct, frozen=True):
    """How a call went wrong."""

    status: int
    """0 without an answer."""
    reason: str
    retry_after: str = ""

    @property
    def passes(self) -> bool:
        """Whether it may pass if one waits."""
        return self.status == 0 or self.status in _RETRIED or self.status >= 500

    def __str__(self) -> str:
        return f"{self.reason}; {self._advice}"

    @property
    def _advice(self) -> str:
        if self.status in (401, 403):
            return f"see that {TOKEN_ENV} holds a token with the permission Zone, Cache Purge"
        if self.status == 429:
            return "purge less at once, or by tags and prefixes instead of URLs"
        if self.passes:
            return "see Cloudflare's status page, and purge again"
        return "see that the zone and the names belong together"


def _check_api(api: str) -> None:
    try:
        parts = urlsplit(api) if isinstance(api, str) else urlsplit("")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise EdgeError(f"api={api!r}: must be an address like {API}")


def _client(api: str, timeout_s: float) -> Any:
    """The official client, with the token and nothing else from the environment."""
    try:
        from cloudflare import AsyncCloudflare
    except ImportError:
        raise EdgeError(
            "purging Cloudflare needs its client: pip install 'perflab[cloudflare]'"
        ) from None
    token = os.environ.get(TOKEN_ENV, "")
    if not token:
        raise EdgeError(f"{TOKEN_ENV} is not set; it must hold an API token of Cloudflare")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise EdgeError(f"what {TOKEN_ENV} holds is no token: it has blanks or odd characters")
    client = AsyncCloudflare(api_token=token, base_url=api, timeout=timeout_s, max_retries=0)
    client.api_key = client.api_email = client.user_service_key = None
    return client
