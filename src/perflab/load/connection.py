"""One HTTP/1.1 connection of the generator: it sends one request at a time and reads its answer."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final, Protocol, cast

import httptools

from perflab.load.outcomes import ANSWERED, PROTOCOL, RESET

_FREE: Final = -1
_LENGTH: Final = re.compile(rb"\r\ncontent-length[ \t]*:", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding[ \t]*:[^\r\n]*\bchunked\b", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection[ \t]*:[^\r\n]*\bclose\b", re.IGNORECASE)


class Owner(Protocol):
    """Who uses the connection."""

    def ended(self, connection: Connection, sample: int, outcome: int) -> None:
        """A request has been answered or has failed."""

    def lost(self, connection: Connection) -> None:
        """It closed while it was free."""


class Field:
    """Finds the value of one header field in the bytes of a head."""

    def __init__(self, name: str) -> None:
        self._start = b"\r\n%s:" % name.lower().encode("ascii")

    def value(self, head: bytes) -> bytes | None:
        """Its lines joined with ``, `` (RFC 9110, section 5.3); None if there is none."""
        folded, start = head.lower(), self._start  # faster than a search that ignores case
        at = folded.find(start)
        if at < 0:
            return None
        end = folded.find(b"\r\n", at + len(start))
        value = head[at + len(start) : end].strip(b" \t")
        while (at := folded.find(start, end)) >= 0:
            end = folded.find(b"\r\n", at + len(start))
            value += b", " + head[at + len(start) : end].strip(b" \t")
        return value


class Connection(asyncio.Protocol):
    """Callbacks of the transport and of the parser.

    The parser has no callback for header fields: one call a field would cost a tenth of the
    generator's rate. What is needed from a head is searched for in its bytes.
    """

    __slots__ = (
        "_begun",
        "_complete",
        "_earlier",
        "_field",
        "_head_only",
        "_interim",
        "_keep_body",
        "_latest",
        "_owner",
        "_parser",
        "_stray",
        "_transport",
        "_until_close",
        "body",
        "body_bytes",
        "ended_at",
        "field_value",
        "fresh",
        "reusable",
        "sample",
        "started_at",
        "status",
    )

    _transport: asyncio.Transport

    def __init__(self, owner: Owner, *, field: Field | None, keep_body: bool) -> None:
        self._owner = owner
        self._field = field
        self._keep_body = keep_body
        self._parser = httptools.HttpResponseParser(self)
        self.sample = _FREE
        """The request under way."""
        self.started_at = 0.0
        self.ended_at = 0.0
        self.reusable = True
        """Whether it can take another request."""
        self.fresh = False
        """Whether it was opened for the request under way."""
        self._head_only = False
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.body_bytes = 0
        self.body: list[bytes] = []
        self.field_value: bytes | None = None
        self._begun = False
        self._complete = False
        self._until_close = False
        self._stray = False
        self._interim = 0
        self._earlier = b""
        self._latest = b""

    def send(self, sample: int, wire: bytes, *, head_only: bool) -> None:
        """Write a request. ``head_only``: its response has no body, whatever its fields say."""
        self.sample = sample
        self._head_only = head_only
        self._reset()
        self._transport.write(wire)

    @property
    def silent(self) -> bool:
        """Whether no byte has come since the request was sent."""
        return not self._latest

    def drop(self) -> None:
        """Close at once, without a word to the owner."""
        self.sample = _FREE
        self.reusable = False
        self._transport.abort()

    # transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open; whoever asked for it puts it to use."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Parse, and report after the whole chunk: what follows an answer belongs to no request."""
        if self.sample == _FREE:
            self._give_up_free()
            return
        self._latest = data
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a defect of this class, not of the server
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._complete:
                self._fail(PROTOCOL)
                return
            self._stray = True
        if self._complete:
            self._finish()
        elif not self._begun:
            self._earlier += data

    def connection_lost(self, exc: Exception | None) -> None:
        """A response without length ends here; any other one is cut short."""
        if self.sample == _FREE:
            if self.reusable:
                self._give_up_free()
        elif self._until_close and exc is None:
            self._complete = True
            self.ended_at = time.perf_counter()
            self._finish()
        else:
            self._fail(RESET)

    # parser

    def on_message_begin(self) -> None:
        """A response begins; one after the answer was not asked for."""
        if self._complete:
            self._stray = True

    def on_headers_complete(self) -> None:
        """Take the status, and find out how the body ends."""
        if self._complete:
            return
        status = self._parser.get_status_code()
        if status < 200:  # interim (RFC 9110, section 15.2): the answer is still to come
            self._interim += 1
            return
        self._begun = True
        self.status = status
        keep_alive = self._parser.should_keep_alive()
        if self._field is not None:
            self.field_value = self._field.value(self._head())
        self.reusable = keep_alive
        if not keep_alive:
            self._frame()
        if self._head_only:
            self._complete = True
            self.ended_at = time.perf_counter()

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its coding for transfer."""
        if self._complete:
            self._stray = True
            return
        self.body_bytes += len(data)
        if self._keep_body:
            self.body.append(data)

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self._begun and not self._complete:
            self._complete = True
            self.ended_at = time.perf_counter()

    def _frame(self) -> None:
        """The parser will not reuse the connection: because it closes, or has the body no length?

        RFC 9112, section 6.3: a response to HEAD has no body and so needs no length.
        """
        head = self._head()
        unframed = not _LENGTH.search(head) and not _CHUNKED.search(head)
        self._until_close = unframed and not self._head_only
        closes = not head.startswith(b"HTTP/1.1") or _CLOSE.search(head) is not None
        self.reusable = self._head_only and unframed and not closes

    def _head(self) -> bytes:
        """Status line and fields of the response, each with the CR and LF behind it."""
        received = self._latest
        if self._earlier or self._interim or received[:1] != b"H":
            received = (self._earlier + received).lstrip(b"\r\n")
            for _ in range(self._interim):
                received = received.partition(b"\r\n\r\n")[2]
        return received[: received.find(b"\r\n\r\n") + 2]

    def _finish(self) -> None:
        sample, self.sample = self.sample, _FREE
        if self._stray:
            self.reusable = False
        elif self._head_only:
            # the parser waits for the body that the fields announce
            self._parser = httptools.HttpResponseParser(self)
        if not self.reusable:
            self._transport.abort()
        self._owner.ended(self, sample, ANSWERED)

    def _fail(self, outcome: int) -> None:
        sample = self.sample
        self.ended_at = time.perf_counter()
        self.drop()
        self._owner.ended(self, sample, outcome)

    def _give_up_free(self) -> None:
        """The server closed, or spoke unasked (e.g. 408 before it closes)."""
        self.drop()
        self._owner.lost(self)
