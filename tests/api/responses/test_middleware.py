"""The middleware around a plain ASGI application, without sockets."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from typing import Any

import pytest

from perflab.api.responses import Responder, ResponsesMiddleware
from perflab.asgi import Message, Receive, Scope, Send

from .support import BODY, CODINGS, GZIP, NOW, SMALL, ZSTD, run

JSON = {"content-type": "application/json"}


class App:
    """Answers with these fields and this content; a piece a message."""

    def __init__(
        self,
        fields: dict[str, str] | Sequence[tuple[str, str]] | None = None,
        *pieces: bytes,
        status: int = 200,
        ends: bool = True,
        **extra: Any,
    ) -> None:
        given = JSON if fields is None else fields
        pairs = given.items() if isinstance(given, dict) else given
        self.start: Message = {
            "type": "http.response.start",
            "status": status,
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        } | extra
        self.pieces = pieces or (BODY,)
        self.ends = ends
        self.seen: list[tuple[bytes, bytes]] = []

    @property
    def messages(self) -> list[Message]:
        last = len(self.pieces) - 1
        return [self.start] + [
            {"type": "http.response.body", "body": piece, "more_body": n < last or not self.ends}
            for n, piece in enumerate(self.pieces)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen = scope["headers"]
        for message in self.messages:
            await send(message)


async def nothing_to_receive() -> Message:
    raise AssertionError("the middleware reads no request body")


async def sent(
    app: Any, request: dict[str, str] | None = None, method: str = "GET", **changes: Any
) -> list[Message]:
    middleware = ResponsesMiddleware(app, Responder(CODINGS, clock=lambda: NOW))
    scope = {
        "type": "http",
        "method": method,
        "path": "/",
        "headers": [(n.encode(), v.encode()) for n, v in (request or {}).items()],
    } | changes
    messages: list[Message] = []

    async def send(message: Message) -> None:
        messages.append(message)

    await middleware(scope, nothing_to_receive, send)
    return messages


def ask(
    app: Any, request: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Status, fields and body; each field comes once."""
    start, *rest = run(lambda: sent(app, request, method))
    fields: dict[str, str] = {}
    for name, value in start["headers"]:
        assert name == name.lower()
        assert name.decode() not in fields, f"{name!r} once"
        fields[name.decode()] = value.decode("latin-1")
    return start["status"], fields, b"".join(one.get("body", b"") for one in rest)


GZ = {"accept-encoding": "gzip"}


def test_a_body_is_compressed_and_its_fields_agree() -> None:
    app = App(JSON | {"content-length": str(len(BODY)), "vary": "cookie", "x-mine": "é"})
    status, fields, body = ask(app, GZ)
    assert status == 200
    assert gzip.decompress(body) == BODY
    assert fields["content-encoding"] == "gzip"
    assert fields["content-length"] == str(len(body))
    assert fields["vary"] == "cookie, Accept-Encoding"
    assert fields["etag"].endswith(f'-{GZIP.tag}"')
    assert (fields["content-type"], fields["x-mine"]) == ("application/json", "é")


def test_identity_has_vary_and_etag_too() -> None:
    for app in (App(), App(JSON, SMALL)):
        status, fields, body = ask(app)
        assert (status, body) == (200, app.pieces[0])
        assert fields["vary"] == "Accept-Encoding"
        assert "content-encoding" not in fields
        again, short, empty = ask(app, {"if-none-match": f"W/{fields['etag']}"})
        assert (again, empty) == (304, b"")
        assert short == {"etag": fields["etag"], "vary": "Accept-Encoding"}


LEFT_ALONE = [
    ("a stream", App(JSON, BODY, BODY)),
    ("a stream without an end", App(JSON, BODY, ends=False)),
    ("events", App({"content-type": "text/event-stream; charset=utf-8"})),
    ("a part", App(JSON | {"content-range": "bytes 0-9/10"}, status=206)),
    ("several parts", App({"content-type": "multipart/byteranges; boundary=a"}, status=206)),
    ("a part that cannot be", App(JSON | {"content-range": "bytes */10"}, status=416)),
    ("no content", App({}, b"", status=204)),
    ("a cookie", App(JSON | {"set-cookie": "session=1"})),
    ("no-transform", App(JSON | {"cache-control": "public, no-transform"})),
    ("encoded already", App(JSON | {"content-encoding": "br"})),
    ("encoded already, as it is", App(JSON | {"content-encoding": "identity"})),
    ("a digest", App(JSON | {"repr-digest": "sha-256=:AA==:"})),
    ("no type", App({})),
    ("two types", App([("content-type", "text/plain"), ("content-type", "text/html")])),
    ("no type that is one", App({"content-type": "json"})),
    ("an ETag that is none", App(JSON | {"etag": "v1"})),
    ("a date that is none", App(JSON | {"last-modified": "today"})),
    ("a wrong length", App(JSON | {"content-length": "7"})),
    ("trailers to come", App(JSON, trailers=True)),
    ("switching protocols", App(JSON, status=101)),
]


@pytest.mark.parametrize(("what", "app"), LEFT_ALONE, ids=[what for what, _ in LEFT_ALONE])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_left_alone(what: str, app: App, method: str) -> None:
    messages = run(lambda: sent(app, GZ | {"if-none-match": "*"}, method))
    assert messages[0] == app.start
    bodies = [(one["body"], one.get("more_body", False)) for one in messages[1:]]
    assert bodies == [(one["body"], one["more_body"]) for one in app.messages[1:]]


def test_events_are_not_held_back() -> None:
    async def scenario() -> None:
        messages: list[Message] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(App({"content-type": "text/event-stream"}).start)
            assert len(messages) == 1, "before the first event"
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
            assert len(messages) == 2
            await send({"type": "http.response.body", "body": b""})

        async def send(message: Message) -> None:
            messages.append(message)

        scope = {"type": "http", "method": "GET", "headers": []}
        await ResponsesMiddleware(app, Responder(CODINGS))(scope, nothing_to_receive, send)
        assert len(messages) == 3

    run(scenario)


def test_what_is_no_body_passes_in_order() -> None:
    path = {"type": "http.response.pathsend", "path": "/a"}
    hint = {"type": "http.response.early_hint", "links": []}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in (hint, App().start, path):
            await send(message)

    assert run(lambda: sent(app, GZ)) == [hint, App().start, path]


def test_an_application_that_stops_short_is_seen_to_do_so() -> None:
    async def stops(scope: Scope, receive: Receive, send: Send) -> None:
        await send(App().start)

    assert run(lambda: sent(stops, GZ)) == [App().start]

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send(App().start)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(lambda: sent(breaks, GZ))


def test_other_protocols_pass() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    run(lambda: sent(app, type="websocket"))
    run(lambda: sent(app, type="lifespan"))
    assert seen == ["websocket", "lifespan"]


def test_head_of_an_application_that_makes_the_body() -> None:
    app = App(JSON | {"content-length": str(len(BODY))})
    _, get, _ = ask(app, GZ)
    status, head, body = ask(app, GZ, "HEAD")
    assert (status, head, body) == (200, get, b"")


HEAD = JSON | {"content-length": str(len(BODY)), "etag": '"v1"', "vary": "cookie"}


def test_head_of_an_application_that_makes_none_says_only_what_get_would() -> None:
    app = App(HEAD, b"")
    status, fields, body = ask(app, GZ, "HEAD")
    assert (status, body) == (200, b"")
    assert fields == JSON | {"vary": "cookie, Accept-Encoding"}
    _, fields, _ = ask(app, {}, "HEAD")
    assert fields == HEAD | {"vary": "cookie, Accept-Encoding"}
    _, fields, _ = ask(App(HEAD | {"content-length": "9"}, b""), GZ, "HEAD")
    assert fields["content-length"] == "9"
    coded = f'"v1-{GZIP.tag}"'
    status, fields, _ = ask(app, GZ | {"if-none-match": coded}, "HEAD")
    assert (status, fields["etag"]) == (304, coded)


def test_a_tag_of_the_applications_is_coded_and_comes_back_to_it() -> None:
    """Or If-Match never matches, and the application's own 304 is lost."""
    app = App(JSON | {"etag": '"v1"'})
    _, fields, _ = ask(app, GZ)
    coded = fields["etag"]
    assert coded == f'"v1-{GZIP.tag}"'
    ask(app, {"if-match": coded}, "PUT")
    assert dict(app.seen)[b"if-match"] == f'{coded}, "v1"'.encode()
    ask(app, GZ | {"if-none-match": f'"v0", {coded}'})
    assert dict(app.seen)[b"if-none-match"] == f'"v0", {coded}, "v1"'.encode()


@pytest.mark.parametrize("value", ["*", '"v1"', "garbage", f'W/"v1-{GZIP.tag}"', '"v1-gzip.0"'])
def test_other_tags_reach_the_application_as_they_are(value: str) -> None:
    app = App()
    ask(app, GZ | {"if-none-match": value, "if-match": value})
    assert dict(app.seen)[b"if-none-match"] == dict(app.seen)[b"if-match"] == value.encode()


def test_another_codings_tag_is_not_the_applications() -> None:
    """A 304 would let a cache send gzip to a client that reads zstd alone."""
    app = App()
    held = f'"v1-{GZIP.tag}"'
    ask(app, {"accept-encoding": "zstd", "if-none-match": held})
    assert dict(app.seen)[b"if-none-match"] == held.encode()
    ask(app, {"if-none-match": held})
    assert dict(app.seen)[b"if-none-match"] == held.encode()


def test_a_304_of_the_application_gets_vary_and_the_tag_that_the_client_holds() -> None:
    app = App({"etag": '"v1"', "vary": "cookie", "cache-control": "no-cache"}, b"", status=304)
    for request, tag in (
        (GZ | {"if-none-match": f'"v1-{GZIP.tag}"'}, f'"v1-{GZIP.tag}"'),
        (GZ | {"if-none-match": '"v1"'}, '"v1"'),
        ({"if-none-match": '"v1"'}, '"v1"'),
        ({"accept-encoding": "zstd", "if-none-match": f'"v1-{ZSTD.tag}"'}, f'"v1-{ZSTD.tag}"'),
    ):
        status, fields, body = ask(app, request)
        assert (status, body) == (304, b"")
        expected = {"etag": tag, "vary": "cookie, Accept-Encoding", "cache-control": "no-cache"}
        assert fields == expected


def test_conditions_on_what_the_application_sent_in_full() -> None:
    modified = "Sun, 06 Nov 1994 08:49:37 GMT"
    kept = {"etag": '"v1"', "cache-control": "max-age=5", "expires": modified, "date": modified,
            "content-location": "/a"}  # fmt: skip
    app = App(JSON | kept | {"last-modified": modified, "content-language": "en"})
    status, fields, body = ask(app, {"if-none-match": '"v1"'})
    assert (status, body) == (304, b"")
    assert fields == kept | {"vary": "Accept-Encoding"}
    assert ask(app, {"if-modified-since": modified})[0] == 304
    assert ask(app, {"if-modified-since": modified, "if-none-match": '"v2"'})[0] == 200
    assert ask(app, {"if-match": '"v2"'})[0] == 412
    assert ask(app, {"if-none-match": "*"}, "POST")[0] == 200


def test_errors_of_the_application_are_compressed_and_stay_errors() -> None:
    app = App(JSON, BODY, status=500)
    status, fields, body = ask(app, GZ | {"if-none-match": "*"})
    assert (status, gzip.decompress(body)) == (500, BODY)
    assert "etag" not in fields


def test_refused_identity() -> None:
    status, _, body = ask(App(JSON, SMALL), {"accept-encoding": "gzip, *;q=0"})
    assert (status, gzip.decompress(body)) == (200, SMALL)
    assert ask(App(), {"accept-encoding": "*;q=0"})[0] == 406
    assert ask(App(), {"accept-encoding": "*;q=0"}, "POST")[0] == 200


def test_figures() -> None:
    async def scenario() -> None:
        middleware = ResponsesMiddleware(App(JSON, BODY, BODY), Responder(CODINGS))

        async def send(message: Message) -> None:
            pass

        await middleware({"type": "http", "method": "GET", "headers": []}, nothing_to_receive, send)
        assert middleware.stats().left_alone == 1
        assert middleware.stats().responder.responses == 0

    run(scenario)
