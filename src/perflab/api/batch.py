"""``POST /batch``: several requests in one, each answered as if it had come alone."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final, Generic, Literal, TypeVar
from urllib.parse import unquote

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.bodies import encode, json_response
from perflab.api.parts import Parts
from perflab.api.problems import Problem
from perflab.api.responses.tags_passed import RawFields
from perflab.api.routing import Operation, Resource, resource
from perflab.asgi import App, Message, Scope

T = TypeVar("T")

MOST_ITEMS: Final = 20
MOST_AT_ONCE: Final = 5
"""Half of the pool's connections, so that one batch leaves the others some."""

_ITEM: Final = "perflab.batch_item"
_THE_CALLERS: Final = frozenset(
    {b"authorization", b"cdn-loop", b"host", b"user-agent", b"x-forwarded-for"}
)
"""Who asks, and from where, is the same for each item."""
_ITS_OWN: Final = frozenset(
    {
        "accept",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
    }
)

# Python's $ also matches before a newline at the end, JSON Schema's does not
Path = Annotated[str, Meta(max_length=4096, pattern=r"^/[\x21\x22\x24-\x7e]*$(?!\n)")]
"""With its query, percent-encoded; a fragment is not sent."""
FieldValue = Annotated[str, Meta(max_length=4096, pattern=r"^[\x20-\x7e]*$(?!\n)")]


class Item(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request of a batch."""

    path: Path
    method: Literal["GET", "HEAD", "POST", "PATCH", "DELETE"] = "GET"
    headers: dict[str, FieldValue] = {}
    """Conditions, ``Idempotency-Key`` and ``Accept``; all else is the batch's own."""
    body: msgspec.Raw | UnsetType = UNSET
    """Any JSON value; sent as ``application/json``."""


class Batch(msgspec.Struct, Generic[T], frozen=True, forbid_unknown_fields=True):
    """The body of a batch. Its items are decoded one by one: a wrong one harms no other."""

    requests: Annotated[list[T], Meta(min_length=1, max_length=MOST_ITEMS)]


class Answer(msgspec.Struct, frozen=True):
    """What one request would have been answered by itself."""

    status: int
    headers: dict[str, str]
    body: Any
    """JSON as it is, other content as text, null where there is none."""


class Answers(msgspec.Struct, frozen=True):
    """The answers, in the order of the requests."""

    responses: list[Answer]


class Batches:
    """The endpoint of batches.

    Args:
        parts: of the process.
        app: answers the items, which go the whole way that other requests go.
    """

    def __init__(self, parts: Parts, app: App) -> None:
        self._body = parts.body
        self._app = app
        self._item = msgspec.json.Decoder(Item)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        run = Operation(
            self.run, {200: Answers}, takes=self._body(Batch[msgspec.Raw], shown=Batch[Item])
        )
        return [resource("/batch", post=run)]

    async def run(self, request: Request, batch: Batch[msgspec.Raw]) -> Response:
        """Up to 20 requests in one, at most 5 of them under way at once, in no order.

        Each is authenticated as the batch is, charged to the caller's quota as if it had come
        alone, and answered by itself.
        """
        if _ITEM in request.scope:
            raise Problem(400, "a batch cannot be an item of a batch")
        free = asyncio.Semaphore(MOST_AT_ONCE)

        async def one(raw: msgspec.Raw) -> Answer:
            async with free:
                return await self._answer(request.scope, raw)

        answers = await asyncio.gather(*map(one, batch.requests))
        return json_response(encode(Answers(answers)), cache_control="no-store")

    async def _answer(self, outer: Scope, raw: msgspec.Raw) -> Answer:
        try:
            item = self._read(raw)
        except Problem as problem:
            refusal = problem.response()
            return _answer(refusal.status_code, refusal.raw_headers, bytes(refusal.body))
        body = b"" if item.body is UNSET else bytes(item.body)
        exchange = _Exchange(body)
        await self._app(_scope(outer, item, body), exchange.receive, exchange.send)
        # a server leaves away what HEAD must not have
        return exchange.answer(b"" if item.method == "HEAD" else None)

    def _read(self, raw: msgspec.Raw) -> Item:
        try:
            item = self._item.decode(raw)
        except msgspec.ValidationError as error:
            raise Problem(422, f"this item: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem(400, f"this item is no JSON: {error}") from None
        for name in item.headers:
            if name.lower() not in _ITS_OWN:
                allowed = ", ".join(sorted(_ITS_OWN))
                raise Problem(422, f"an item cannot have the header {name[:40]!r}; only {allowed}")
        return item


def _scope(outer: Scope, item: Item, body: bytes) -> Scope:
    """The scope of an item: a request of the same client over the same connection."""
    path, _, query = item.path.partition("?")
    headers = [one for one in outer["headers"] if one[0] in _THE_CALLERS]
    headers += [(name.lower().encode(), value.encode()) for name, value in item.headers.items()]
    # the batch's own answer is compressed as a whole
    headers.append((b"accept-encoding", b"identity"))
    if item.body is not UNSET:
        headers.append((b"content-type", b"application/json"))
        headers.append((b"content-length", str(len(body)).encode()))
    kept = ("type", "asgi", "http_version", "scheme", "server", "client", "root_path", "state")
    return {
        **{name: outer[name] for name in kept if name in outer},
        "method": item.method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": headers,
        _ITEM: True,
    }


class _Exchange:
    """Stands where a server would: hands the body in and takes the response."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._status = 0
        self._headers: RawFields = []
        self._content = bytearray()

    async def receive(self) -> Message:
        """The body of the item, whole."""
        return {"type": "http.request", "body": self._body, "more_body": False}

    async def send(self, message: Message) -> None:
        """What the application sends."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = list(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._content += message.get("body", b"")

    def answer(self, content: bytes | None = None) -> Answer:
        """The response, as an item of the answer; with other content if some is given."""
        sent = bytes(self._content) if content is None else content
        return _answer(self._status, self._headers, sent)


def _answer(status: int, fields: RawFields, content: bytes) -> Answer:
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    body: Any = None
    if content:
        media_type = headers.get("content-type", "").partition(";")[0]
        is_json = media_type == "application/json" or media_type.endswith("+json")
        body = msgspec.Raw(content) if is_json else content.decode("utf-8", "replace")
    return Answer(status, headers, body)
