"""ASGI middleware: codings, ETags and 304 for the responses of any application."""

from __future__ import annotations

import time
from typing import Final

import msgspec

from perflab.api.responses.codings import Coding
from perflab.api.responses.errors import ResponseError
from perflab.api.responses.remembered import Key, Made, Pairs, Remembered, RememberedStats
from perflab.api.responses.representation import (
    Asked,
    Fields,
    Representation,
    is_compressible,
    joined,
    with_accept_encoding,
)
from perflab.api.responses.responder import Responder, ResponderStats
from perflab.api.responses.tags_passed import RawFields, for_application, for_client
from perflab.api.responses.validators import UNCONDITIONAL, read_tag
from perflab.api.responses.wire import (
    asked_by,
    decoded,
    encoded,
    is_candidate,
    pairs,
    representation,
)
from perflab.asgi import App, Message, Receive, Scope, Send

_WITHOUT_CONTENT: Final = frozenset({204, 205, 206})
_READS: Final = ("GET", "HEAD")


class MiddlewareStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a ResponsesMiddleware."""

    left_alone: int
    """Responses passed on as they were."""
    responder: ResponderStats
    """Of the responder, which others may use too."""
    remembered: RememberedStats
    """Of the responses made before; those sent again count at the responder too."""


class ResponsesMiddleware:
    """Compresses what an application answers, gives it an ETag, and answers 304 where that fits.

    A response is held back until its first piece of content. It is passed on untouched if more
    is to follow (streams), for ``text/event-stream``, 204, 205 and 206, with ``Set-Cookie``,
    ``Content-Encoding``, ``Content-Range``, trailers or a digest of its content, under
    ``no-transform``, and wherever its fields are malformed.

    An ETag of the application's counts as that of the body without a coding. Under a coding the
    client gets another, and the application gets its own back in ``If-Match`` and
    ``If-None-Match``. A 304 of the application's gets ``Vary`` and the ETag that the client
    holds.

    A response follows from what was asked and what the application answered. So it is made once,
    without regard to conditions, and remembered, unless a date in it makes it depend on the time;
    conditions are then judged on what is remembered, so that a client that asks again finds it
    whichever tag it holds.

    Args:
        app: the application.
        responder: makes the responses; a new one by default.
        remembered_bytes: the room for responses made before.
    """

    def __init__(
        self,
        app: App,
        responder: Responder | None = None,
        *,
        remembered_bytes: int = 16 * 2**20,
    ) -> None:
        self._app = app
        self._responder = responder or Responder()
        self._remembered = Remembered(remembered_bytes)
        self._left_alone = 0

    def stats(self) -> MiddlewareStats:
        """The figures so far."""
        return MiddlewareStats(
            left_alone=self._left_alone,
            responder=self._responder.stats(),
            remembered=self._remembered.stats(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send, self._responder, self._remembered)
        try:
            await self._app(answer.scope, receive, answer.send)
            if not answer.decided:
                await answer.release()
        finally:
            self._left_alone += answer.left_alone


class _Answer:
    """The response to one request, on its way from the application to the server."""

    def __init__(
        self, scope: Scope, send: Send, responder: Responder, remembered: Remembered
    ) -> None:
        self.left_alone = False
        self._method: str = scope["method"]
        self._asked = asked_by(scope["headers"])
        self._send = send
        self._responder = responder
        self._remembered = remembered
        self._held: Message | None = None
        self._held_fields: Pairs = ()
        self.decided = False
        unconditional = self._asked.conditions is UNCONDITIONAL
        self.scope = scope if unconditional else self._with_plain_tags(scope)

    def _coding(self) -> Coding | None:
        return self._responder.favourite(self._asked.accept_encoding)

    async def send(self, message: Message) -> None:
        """What the application sends."""
        kind = message["type"]
        if self.decided:
            await self._send(message)
        elif kind == "http.response.start":
            if message["status"] == 304:
                self.decided = True
                await self._send({**message, "headers": self._for_304(message)})
            else:
                self._held = message
                self._held_fields = pairs(message)
                if (
                    message["status"] in _WITHOUT_CONTENT
                    or not is_candidate(self._held_fields)
                    or message.get("trailers", False)
                ):
                    await self.release()
        elif self._held is None:
            await self._send(message)  # early hints and the like
        elif kind == "http.response.body" and not message.get("more_body", False):
            await self._complete(self._held, bytes(message.get("body", b"")))
        else:
            await self.release()
            await self._send(message)

    async def release(self) -> None:
        """Pass on what is held back, as it is."""
        if self._held is not None and not self.decided:
            self.decided = self.left_alone = True
            await self._send(self._held)

    async def _complete(self, start: Message, body: bytes) -> None:
        """All of the application's answer is there: say it as before, or make a response of it."""
        asked = self._asked
        number = self._remembered.number(self._held_fields)
        key = self._method, asked.accept_encoding, start["status"], number, body
        made = self._remembered.get(key)
        if made is None:
            await self._respond(start, body, key)
        else:
            await self._say(start, body, self._judged(made) or await self._other(made, start, body))

    async def _respond(self, start: Message, body: bytes, key: Key) -> None:
        fields = decoded(self._held_fields)
        length = joined(fields, "content-length")
        if self._method == "HEAD" and not body and length != "0":
            await self._headers_only(start, fields, length)
            return
        try:
            if length is not None and length != str(len(body)):
                raise ResponseError(f"content-length={length} for a body of {len(body)} bytes")
            given = representation(start["status"], fields, body)
        except ResponseError:
            await self.release()
            await self._send({"type": "http.response.body", "body": body})
            return
        if given.last_modified is None:
            made = await self._made(Asked(self._asked.accept_encoding, UNCONDITIONAL), given)
            self._remembered.keep(key, made)
            made = self._judged(made) or await self._other(made, start, body)
        else:
            made = await self._made(self._asked, given)
        await self._say(start, body, made)

    def _judged(self, made: Made) -> Made | None:
        """What the conditions leave of what was made without them; None where that is not made."""
        conditions = self._asked.conditions
        if conditions is UNCONDITIONAL or made.status != 200 or self._method not in _READS:
            return made
        status = conditions.judge(made.tag, None, time.time())
        if status == 200:
            return made
        return made.unchanged if status == 304 else None

    async def _other(self, made: Made, start: Message, body: bytes) -> Made:
        """A 304, kept beside what it stands for, or a 412."""
        given = representation(start["status"], decoded(self._held_fields), body)
        other = await self._made(self._asked, given)
        if other.status == 304:
            made.unchanged = other
        return other

    async def _made(self, asked: Asked, given: Representation) -> Made:
        response = await self._responder.make(asked, self._method, given)
        tag = response.field("etag")
        return Made(
            response.status,
            [encoded(name, value) for name, value in response.fields],
            response.body,
            response.coded,
            None if tag is None else read_tag(tag),
        )

    async def _say(self, start: Message, body: bytes, made: Made) -> None:
        self._responder.count(made.status, len(body), len(made.body), coded=made.coded)
        self.decided = True
        await self._send({**start, "status": made.status, "headers": [*made.fields]})
        await self._send({"type": "http.response.body", "body": made.body})

    async def _headers_only(self, start: Message, fields: Fields, length: str | None) -> None:
        """HEAD of an application that makes no body for it: what is known of its GET.

        Whatever would depend on the coded body is left out (RFC 9110 §9.3.2).
        """
        self.decided = True
        status, sent = start["status"], list(fields)
        enough = length is None or not length.isdecimal()
        enough = enough or int(length or 0) >= self._responder.threshold_bytes
        coding = self._coding()
        if coding is not None and enough and is_compressible(joined(fields, "content-type") or ""):
            own = joined(fields, "etag")
            sent = [one for one in sent if one[0].lower() not in ("content-length", "etag")]
            try:
                tag = None if own is None else read_tag(own).coded(coding.tag)
            except ResponseError:
                tag = None
            if tag is not None and status == 200 and self._asked.conditions.lists(tag):
                status = 304
                sent.append(("etag", str(tag)))
        sent = [one for one in sent if one[0].lower() != "vary"]
        sent.append(("vary", with_accept_encoding(joined(fields, "vary"))))
        headers = [encoded(name, value) for name, value in sent]
        await self._send({**start, "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": b""})

    def _with_plain_tags(self, scope: Scope) -> Scope:
        """The scope as the application gets it; the same where no tag is made under a coding."""
        codings: tuple[Coding, ...] = self._responder.codings
        if self._method in _READS:
            # a 304 for another coding's bytes would be about what this client cannot read
            coding = self._coding()
            codings = () if coding is None else (coding,)
        passed = for_application(scope["headers"], codings) if codings else None
        return scope if passed is None else {**scope, "headers": passed}

    def _for_304(self, message: Message) -> RawFields:
        fields = decoded(pairs(message))
        own = joined(fields, "etag")
        kept = [one for one in fields if one[0].lower() != "vary"]
        coding = self._coding()
        if own is not None and coding is not None:
            try:
                tag = for_client(read_tag(own), self._asked.conditions.if_none_match, coding)
            except ResponseError:
                pass  # the application's own affair
            else:
                kept = [one for one in kept if one[0].lower() != "etag"]
                kept.append(("etag", str(tag)))
        kept.append(("vary", with_accept_encoding(joined(fields, "vary"))))
        return [encoded(name, value) for name, value in kept]
