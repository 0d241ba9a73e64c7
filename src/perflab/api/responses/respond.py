"""One response out of a request, a representation and the codings at hand; no I/O.

Negotiation, validators, ``Vary`` and 304 are decided in one place, so that they cannot
disagree: the ETag of a 304 is the one that the 200 would have had.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from perflab.api.responses.codings import IDENTITY, Coding, names_of
from perflab.api.responses.dates import format_date
from perflab.api.responses.errors import ResponseError
from perflab.api.responses.negotiation import acceptable
from perflab.api.responses.representation import (
    Asked,
    Fields,
    Representation,
    Response,
    directives,
    is_compressible,
    joined,
    read_request,
    with_accept_encoding,
)
from perflab.api.responses.validators import EntityTag, content_hash

THRESHOLD_BYTES: Final = 1024
"""Smaller bodies are sent as they are: they fit into one packet with or without a coding."""

_UNSAID_BY_304: Final = frozenset(
    {
        "accept-ranges",
        "content-digest",
        "content-disposition",
        "content-language",
        "content-md5",
        "digest",
        "repr-digest",
    }
)
"""Representation metadata, which a 304 leaves out (RFC 9110 §15.4.5)."""


def respond(
    request_fields: Mapping[str, str] | Iterable[tuple[str, str]],
    method: str,
    representation: Representation,
    *,
    codings: Sequence[Coding],
    threshold_bytes: int = THRESHOLD_BYTES,
    now: float | None = None,
) -> Response:
    """The response: 200, 304, 406 or 412, or the representation's own status.

    A coding is used where the request accepts one, the type is worth it, the body has
    ``threshold_bytes`` or more, and it gets smaller. A request that refuses ``identity`` gets a
    coding in any case, or 406 (RFC 9110 §15.5.7) where none is acceptable.

    GET and HEAD of a representation of status 200 have validators and conditions; any other
    response only a coding, since conditions on other methods are to be judged before the method
    does its work (§13.2.1), and what a POST returns is no state of its target.

    Args:
        request_fields: all fields of the request, names in any case.
        method: in capitals.
        representation: what there is to say.
        codings: the server's favourite first; see ``installed_codings``.
        threshold_bytes: smaller bodies get no coding.
        now: Unix seconds; the clock's by default.
    """
    exchange = Exchange(
        read_request(request_fields),
        method,
        representation,
        codings=codings,
        threshold_bytes=threshold_bytes,
        now=time.time() if now is None else now,
    )
    if exchange.early is not None:
        return exchange.early
    coding = exchange.coding
    return exchange.finish(None if coding is None else coding.compress(representation.body))


class Exchange:
    """The steps of ``respond``, with the compressing left to the caller.

    ``early`` is the response if nothing needs to be compressed for it. Else the body under
    ``coding`` (None where that is None) is handed to ``finish``.
    """

    def __init__(
        self,
        asked: Asked,
        method: str,
        representation: Representation,
        *,
        codings: Sequence[Coding],
        threshold_bytes: int = THRESHOLD_BYTES,
        now: float,
        content: str | None = None,
    ) -> None:
        """As ``respond``; ``content`` is the ``content_hash`` of the body, where it is known."""
        if threshold_bytes < 0:
            raise ResponseError(f"threshold_bytes={threshold_bytes} must be at least 0")
        self.coding: Coding | None = None
        self.early: Response | None = None
        self._asked = asked
        self._representation = representation
        self._now = now
        self._content = content
        self._head = method == "HEAD"
        self._reads = method in ("GET", "HEAD")
        self._conditional = representation.status == 200 and self._reads
        at = representation.last_modified
        # not later than the response itself (RFC 9110 §8.8.2.1)
        self._last_modified = None if at is None else min(at, now) // 1
        ranked = acceptable(asked.accept_encoding, names_of(codings))
        self._refuses_identity = IDENTITY not in ranked
        self._choose(ranked, codings, threshold_bytes)
        if self.early is None and self.coding is not None and self._conditional:
            tag = self._tag(self.coding)
            if tag is not None and asked.conditions.lists(tag):
                self.early = self._not_modified(tag)

    @property
    def content(self) -> str:
        """The ``content_hash`` of the body."""
        if self._content is None:
            self._content = content_hash(self._representation.body)
        return self._content

    def finish(self, coded: bytes | None) -> Response:
        """The response, given the body under ``coding``."""
        body, coding = self._representation.body, None
        # nobody is sent more bytes than the body has, unless it wants it so
        if coded is not None and (len(coded) < len(body) or self._refuses_identity):
            body, coding = coded, self.coding
        if not self._conditional:
            tag = self._representation.own_tag()
            # after other methods it is the tag of the new state, not of this body (§8.8)
            if tag is not None and coding is not None and self._reads:
                tag = tag.coded(coding.tag)
            return self._full(body, coding, tag)
        tag = self._tag(coding)
        status = self._asked.conditions.judge(tag, self._last_modified, self._now)
        if status == 304:
            return self._not_modified(tag)
        if status == 412:
            return self._refusal(412, "Precondition Failed", "the content has another version")
        return self._full(body, coding, tag)

    def _choose(
        self, ranked: tuple[str, ...], codings: Sequence[Coding], threshold_bytes: int
    ) -> None:
        representation = self._representation
        usable = representation.may_be_coded()
        if self._refuses_identity:
            if not (ranked and usable):
                self.early = self._not_acceptable(codings if usable else ())
                return
        elif not (
            usable
            and len(representation.body) >= threshold_bytes
            and is_compressible(representation.media_type)
        ):
            return
        if ranked[0] != IDENTITY:
            self.coding = next(coding for coding in codings if coding.name == ranked[0])

    def _tag(self, coding: Coding | None) -> EntityTag | None:
        """The ETag under a coding; None for what no cache may keep, unless one was given."""
        tag = self._representation.own_tag()
        if tag is None:
            if "no-store" in directives(self._representation.cache_control):
                return None
            tag = EntityTag(self.content)
        return tag if coding is None else tag.coded(coding.tag)

    def _full(self, body: bytes, coding: Coding | None, tag: EntityTag | None) -> Response:
        given = self._representation
        fields = [("Content-Type", given.media_type)]
        if coding is not None:
            fields.append(("Content-Encoding", coding.name))
        fields.append(("Content-Length", str(len(body))))
        if self._last_modified is not None:
            fields.append(("Last-Modified", format_date(self._last_modified)))
        # a range of a coded body cannot be asked for
        left_out = frozenset() if coding is None else frozenset({"accept-ranges"})
        fields += self._lasting(tag, left_out)
        return Response(given.status, tuple(fields), b"" if self._head else body)

    def _not_modified(self, tag: EntityTag | None) -> Response:
        fields = self._lasting(tag, _UNSAID_BY_304)
        if tag is None and self._last_modified is not None:
            fields.append(("Last-Modified", format_date(self._last_modified)))
        return Response(304, tuple(fields), b"")

    def _lasting(self, tag: EntityTag | None, left_out: frozenset[str]) -> list[tuple[str, str]]:
        """The fields that a 200 and its 304 have in common (RFC 9110 §15.4.5)."""
        given = self._representation
        fields = [] if tag is None else [("ETag", str(tag))]
        if given.cache_control is not None:
            fields.append(("Cache-Control", given.cache_control))
        fields.append(("Vary", with_accept_encoding(joined(given.fields, "vary"))))
        fields += (
            (name, value)
            for name, value in given.fields
            if (lower := name.lower()) != "vary" and lower not in left_out
        )
        return fields

    def _not_acceptable(self, codings: Sequence[Coding]) -> Response | None:
        """406; None where the work is done already, and its outcome matters more."""
        if not self._conditional:
            return None
        offered = ", ".join((*names_of(codings), IDENTITY))
        detail = f"the content codings to choose from: {offered}"
        return self._refusal(406, "Not Acceptable", detail)

    def _refusal(self, status: int, title: str, detail: str) -> Response:
        """A problem (RFC 9457) in place of the content."""
        body = msgspec.json.encode({"title": title, "status": status, "detail": detail})
        fields: Fields = (
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("Vary", with_accept_encoding(joined(self._representation.fields, "vary"))),
        )
        return Response(status, fields, b"" if self._head else body)
