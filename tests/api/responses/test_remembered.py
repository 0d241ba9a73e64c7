"""Responses that the middleware made before: sent again only where nothing differs."""

from __future__ import annotations

import gzip
from collections.abc import Sequence

import pytest

from perflab.api.responses import Responder, ResponsesMiddleware
from perflab.api.responses.remembered import LARGEST_BYTES
from perflab.asgi import Message, Receive, Scope, Send

from .support import BODY, CODINGS, NOW, SMALL, run
from .test_middleware import GZ, JSON, App, nothing_to_receive

Answer = tuple[int, dict[str, str], bytes]


class Site:
    """One middleware, and what it makes of what an application says."""

    def __init__(self, *, remembered_bytes: int = 2**20) -> None:
        self._says: App = App()
        self.now = NOW
        self.middleware = ResponsesMiddleware(
            self._app,
            Responder(CODINGS, clock=lambda: self.now),
            remembered_bytes=remembered_bytes,
        )

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._says(scope, receive, send)

    def ask(self, app: App, request: dict[str, str] | None = None, method: str = "GET") -> Answer:
        self._says = app
        messages: list[Message] = []

        async def send(message: Message) -> None:
            messages.append(message)

        fields = [(name.encode(), value.encode()) for name, value in (request or {}).items()]
        scope = {"type": "http", "method": method, "headers": fields}

        async def asked() -> None:
            await self.middleware(scope, nothing_to_receive, send)

        run(asked)
        start, body = messages
        said = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        start["headers"].append((b"x-added", b"by whoever sends it on"))
        return start["status"], said, body["body"]

    @property
    def hits(self) -> int:
        return self.middleware.stats().remembered.hits


ASKED: Sequence[tuple[dict[str, str], str]] = [
    ({}, "GET"),
    (GZ, "GET"),
    ({"accept-encoding": "zstd"}, "GET"),
    ({"accept-encoding": "*;q=0"}, "GET"),
    ({"if-none-match": '"v1"'}, "GET"),
    ({"if-none-match": '"v0"'}, "GET"),
    ({"if-match": '"v0"'}, "GET"),
    (GZ, "HEAD"),
    (GZ, "POST"),
]
SAID: Sequence[App] = [
    App(JSON | {"etag": '"v1"'}),
    App(JSON | {"etag": '"v1"'}, SMALL),
    App(JSON | {"etag": '"v1"'}, status=404),
    App(JSON | {"etag": '"v1"', "cache-control": "no-store"}),
    App(JSON | {"etag": '"v2"'}),
]


def test_again_is_the_same_and_every_difference_is_seen() -> None:
    """A middleware that has made all of them before answers as one that has made none."""
    site = Site()
    cases = [(app, *asked) for app in SAID for asked in ASKED]
    fresh = [Site().ask(*case) for case in cases]
    assert [site.ask(*case) for case in cases] == fresh
    conditional = sum("if-" in name for _, fields, _ in cases for name in fields)
    assert site.hits == conditional  # what was made for the request without conditions
    assert [site.ask(*case) for case in cases] == fresh
    assert site.hits == conditional + len(cases)


@pytest.mark.parametrize("fields", [{}, GZ])
def test_whoever_asks_again_finds_what_was_made_whichever_tag_it_holds(
    fields: dict[str, str],
) -> None:
    site = Site()
    status, said, _ = site.ask(App(JSON), fields)
    assert status == 200
    statuses = [
        site.ask(App(JSON), fields | {"if-none-match": held})[0]
        for held in (said["etag"], '"older"', f'"older", {said["etag"]}', "*", "W/" + said["etag"])
    ]
    assert statuses == [304, 200, 304, 304, 304]
    assert site.hits == len(statuses)
    assert site.middleware.stats().remembered.entries == 1


def test_a_304_is_made_once() -> None:
    site = Site()
    _, said, _ = site.ask(App(JSON), GZ)
    first, again = [site.ask(App(JSON), GZ | {"if-none-match": said["etag"]}) for _ in range(2)]
    assert first == again
    assert first[1].keys() == {"etag", "vary"}
    assert site.middleware.stats().responder.responses == 3


def test_figures_count_what_is_sent_again() -> None:
    site = Site()
    for _ in range(3):
        site.ask(SAID[0], GZ)
        site.ask(SAID[0], {"if-none-match": "*"})
    figures = site.middleware.stats().responder
    assert (figures.responses, figures.coded, figures.not_modified) == (6, 3, 3)
    assert figures.plain_bytes == 3 * len(BODY)
    assert figures.coded_bytes == 3 * len(site.ask(SAID[0], GZ)[2])


def test_what_depends_on_the_time_is_made_each_time() -> None:
    """Last-Modified may not be later than the response (RFC 9110, section 8.8.2.1)."""
    site = Site()
    app = App(JSON | {"last-modified": "Fri, 01 Jan 2100 00:00:00 GMT"})
    _, first, _ = site.ask(app)
    site.now += 60
    _, second, _ = site.ask(app)
    assert first["last-modified"] != second["last-modified"]
    assert site.hits == 0


def test_fields_that_no_tuple_holds_are_fields_too() -> None:
    site = Site()
    app = App(JSON)
    app.start["headers"] = [list(field) for field in app.start["headers"]]
    assert site.ask(app) == site.ask(app) == Site().ask(App(JSON))
    assert site.hits == 1


def test_large_bodies_are_not_kept() -> None:
    site = Site()
    large = App(JSON, b"x" * (LARGEST_BYTES + 1))
    assert gzip.decompress(site.ask(large, GZ)[2]) == large.pieces[0]
    site.ask(large, GZ)
    assert site.middleware.stats().remembered.entries == 0


@pytest.mark.parametrize("room", [10_000, 100_000])
def test_the_room_is_bounded(room: int) -> None:
    site = Site(remembered_bytes=room)
    for number in range(200):
        site.ask(App(JSON, b"%d" % number * 100))
    held = site.middleware.stats().remembered
    assert 0 < held.size_bytes <= room


def test_a_client_fills_no_memory_with_what_it_asks() -> None:
    site = Site(remembered_bytes=100_000)
    for number in range(50):
        asked = {"if-none-match": f'"{number}"' + ', "x"' * 2_000}
        assert site.ask(App(), asked)[0] == 200
        site.ask(App(), {"if-none-match": f'"{number}"' + ', "x"' * 20_000})
    assert 0 < site.middleware.stats().remembered.entries <= 100_000 // 10_000
