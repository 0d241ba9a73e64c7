"""``respond`` for an event loop: large bodies in a thread, and each compressed once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from perflab.api.responses.codings import Coding, installed_codings, names_of
from perflab.api.responses.negotiation import acceptable
from perflab.api.responses.representation import Asked, Representation, Response, read_request
from perflab.api.responses.respond import THRESHOLD_BYTES, Exchange
from perflab.api.responses.validators import content_hash
from perflab.api.responses.variants import MemoryVariants, VariantStore
from perflab.errors import PerflabError

APART_BYTES: Final = 32 * 2**10
"""From here on a body is compressed in a thread: gzip takes a millisecond, the hop 60 µs."""
HASHED_APART_BYTES: Final = 512 * 2**10
"""From here on it is hashed in one; SHA-256 runs at 0.5 to 1.5 GB/s."""

_LOG: Final = logging.getLogger(__name__)


class ResponderStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a Responder."""

    responses: int
    """All of them, whatever their status."""
    coded: int
    """Sent under a coding."""
    not_modified: int
    """304."""
    refused: int
    """406 and 412."""
    plain_bytes: int
    """Of the bodies of coded responses before, HEAD not counted."""
    coded_bytes: int
    """Of the bodies of coded responses as sent."""
    store_failures: int
    """Bodies compressed without the store, because it failed."""


class Responder:
    """Makes responses, and keeps what it compressed.

    It belongs to one event loop.

    Args:
        codings: the server's favourite first; all that are installed by default.
        store: where compressed bodies are kept; 32 MB of this process by default.
        threshold_bytes: smaller bodies get no coding.
        clock: Unix seconds.
    """

    def __init__(
        self,
        codings: Sequence[Coding] | None = None,
        *,
        store: VariantStore | None = None,
        threshold_bytes: int = THRESHOLD_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.codings: tuple[Coding, ...] = (
            installed_codings() if codings is None else tuple(codings)
        )
        self._names = names_of(self.codings)
        self._by_name = {coding.name: coding for coding in self.codings}
        self._store = MemoryVariants() if store is None else store
        self.threshold_bytes = threshold_bytes
        self._clock = clock
        self._responses = self._coded = self._not_modified = self._refused = 0
        self._plain_bytes = self._coded_bytes = self._store_failures = 0

    def favourite(self, accept_encoding: str | None) -> Coding | None:
        """What a client would rather have than the plain body."""
        ranked = acceptable(accept_encoding, self._names)
        return self._by_name.get(ranked[0]) if ranked else None

    async def respond(
        self,
        request_fields: Mapping[str, str] | Iterable[tuple[str, str]] | Asked,
        method: str,
        representation: Representation,
    ) -> Response:
        """As the function ``respond`` says; counted."""
        if isinstance(request_fields, Asked):
            asked = request_fields
        else:
            asked = read_request(request_fields)
        response = await self.make(asked, method, representation)
        sent, plain = len(response.body), len(representation.body)
        self.count(response.status, plain, sent, coded=response.coded)
        return response

    async def make(self, asked: Asked, method: str, representation: Representation) -> Response:
        """The same without being counted, for whoever sends it again and again."""
        body = representation.body
        known = None
        if len(body) >= HASHED_APART_BYTES:
            known = await asyncio.to_thread(content_hash, body)
        exchange = Exchange(
            asked,
            method,
            representation,
            codings=self.codings,
            threshold_bytes=self.threshold_bytes,
            now=self._clock(),
            content=known,
        )
        response = exchange.early
        if response is None:
            coding = exchange.coding
            coded = None if coding is None else await self._variant(exchange, coding, body)
            response = exchange.finish(coded)
        return response

    def count(self, status: int, plain_bytes: int, sent_bytes: int, *, coded: bool) -> None:
        """Enter one response that is sent."""
        self._responses += 1
        self._not_modified += status == 304
        self._refused += status in (406, 412)
        if coded:
            self._coded += 1
            if sent_bytes:
                self._plain_bytes += plain_bytes
                self._coded_bytes += sent_bytes

    def stats(self) -> ResponderStats:
        """The figures so far."""
        return ResponderStats(
            responses=self._responses,
            coded=self._coded,
            not_modified=self._not_modified,
            refused=self._refused,
            plain_bytes=self._plain_bytes,
            coded_bytes=self._coded_bytes,
            store_failures=self._store_failures,
        )

    async def _variant(self, exchange: Exchange, coding: Coding, body: bytes) -> bytes:
        async def make() -> bytes:
            if len(body) < APART_BYTES:
                return coding.compress(body)
            return await asyncio.to_thread(coding.compress, body)

        try:
            return await self._store.get(f"{exchange.content}-{coding.tag}", make)
        except PerflabError as error:
            self._store_failures += 1
            _LOG.warning("a response is compressed without the store of variants: %s", error)
            return await make()
