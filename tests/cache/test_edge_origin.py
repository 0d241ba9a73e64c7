"""The origin's middleware: what nginx, other CDNs and plain clients get to read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perflab.cache.edge import EdgeError, OriginMiddleware
from perflab.cache.edge.targeted import from_plain, from_targeted, served_s

from .edge_support import MemoryTagIndex
from .stand_ins import run

EDGE = {"cdn-loop": "perflab-edge"}
FULL = {
    "content-type": "text/plain",
    "cache-control": "max-age=5",
    "cdn-cache-control": "max-age=3600, stale-if-error=60",
    "cache-tag": "users,org%207",
}


class Answers:
    """An application that sends these fields, after some time."""

    def __init__(self, *fields: dict[str, str], status: int = 200) -> None:
        self.fields = [(k.encode(), v.encode()) for some in fields for k, v in some.items()]
        self.status = status
        self.first_s = self.rest_s = self.after_s = 0.0
        self.finished = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(self.first_s)
        start = {"type": "http.response.start", "status": self.status, "headers": self.fields}
        await send(start)
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        await asyncio.sleep(self.rest_s)
        await send({"type": "http.response.body", "body": b"rest"})
        await asyncio.sleep(self.after_s)
        self.finished = True


async def ask(
    app: OriginMiddleware, headers: dict[str, str] | None = None, **changes: Any
) -> tuple[int, dict[str, str], bytes]:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": b"c=1",
        "headers": [
            (name.encode(), value.encode())
            for name, value in ({"host": "Example.org:8080"} | (headers or {})).items()
        ],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope | changes, _nothing_to_receive, send)
    fields: dict[str, str] = {}
    for name, value in sent[0]["headers"]:
        assert name.decode() not in fields, "each field once"
        fields[name.decode()] = value.decode()
    return sent[0]["status"], fields, b"".join(one.get("body", b"") for one in sent[1:])


async def _nothing_to_receive() -> Any:
    raise AssertionError("the middleware reads no request body")


def test_nginx_reads_the_targeted_field_and_the_client_gets_its_own_back() -> None:
    async def scenario() -> None:
        status, fields, body = await ask(OriginMiddleware(Answers(FULL)), EDGE)
        assert (status, body) == (200, b"partrest")
        assert fields == {
            "content-type": "text/plain",
            "cache-control": "max-age=3600, stale-if-error=60",
            "x-edge-client-cache-control": "max-age=5",
            "cache-tag": "users,org%207",
        }

    run(scenario)


def test_plain_client_gets_no_field_that_is_meant_for_edges() -> None:
    async def scenario() -> None:
        _, fields, _ = await ask(OriginMiddleware(Answers(FULL)))
        assert fields == {"content-type": "text/plain", "cache-control": "max-age=5"}

    run(scenario)


def test_other_cdns_get_the_response_as_it_is() -> None:
    async def scenario() -> None:
        _, fields, _ = await ask(OriginMiddleware(Answers(FULL)), {"cdn-loop": "cloudflare; x=1"})
        assert fields == FULL
        loop = {"cdn-loop": "cloudflare; x=1, Perflab-Edge"}
        _, fields, _ = await ask(OriginMiddleware(Answers(FULL)), loop)
        assert fields["cache-control"].startswith("max-age=3600")

    run(scenario)


def test_response_without_words_for_edges_passes_unchanged() -> None:
    plain = {"cache-control": "public, max-age=5, stale-while-revalidate=9", "etag": '"1"'}

    async def scenario() -> None:
        _, fields, _ = await ask(OriginMiddleware(Answers(plain)), EDGE)
        assert fields == plain

    run(scenario)


def test_lines_of_vary_are_joined_for_an_nginx_that_reads_one() -> None:
    async def scenario() -> None:
        app = OriginMiddleware(Answers({"vary": "accept-encoding"}, {"vary": "cookie"}))
        _, fields, _ = await ask(app, EDGE)
        assert fields["vary"] == "accept-encoding, cookie"

    run(scenario)


@pytest.mark.parametrize(
    ("targeted", "read"),
    [
        ("max-age=60", "max-age=60"),
        ("max-age=60, s-maxage=70", "max-age=70"),
        ("public, max-age=60, stale-while-revalidate=5, stale-if-error=9",
         "max-age=60, stale-while-revalidate=5, stale-if-error=9"),
        ("max-age=60, must-revalidate, stale-if-error=9", "max-age=60"),
        ("max-age=60;x=1", "max-age=60"),
        ("no-store", "no-store"),
        ("private, max-age=60", "no-store"),
        ("max-age=60, no-cache", "no-store"),
        ("no-store=?0, max-age=60", "max-age=60"),
        ("max-age=0", "no-store"),
        ("max-age=60, s-maxage=0", "no-store"),
        ('max-age="60"', "no-store"),
        ("max-age", "no-store"),
        ("public", "no-store"),
        ("", None),
        ("max-age=60,", None),
        ("Max-Age=60", None),
        ("max-age=1.5.2", None),
    ],
)  # fmt: skip
def test_targeted_field_becomes_words_that_nginx_knows(targeted: str, read: str | None) -> None:
    assert from_targeted(targeted) == read


def test_invalid_targeted_field_is_ignored() -> None:
    async def scenario() -> None:
        given = {"cache-control": "max-age=5", "cdn-cache-control": "max-age=,"}
        _, fields, _ = await ask(OriginMiddleware(Answers(given)), EDGE)
        assert fields == {"cache-control": "max-age=5"}

    run(scenario)


@pytest.mark.parametrize(
    ("control", "read"),
    [
        ("max-age=5, stale-if-error=9", "max-age=5, stale-if-error=9"),
        ("max-age=5, must-revalidate, stale-if-error=9", "max-age=5, must-revalidate"),
        ("Stale-While-Revalidate=1,max-age=5,proxy-revalidate", "max-age=5, proxy-revalidate"),
    ],
)
def test_must_revalidate_takes_back_the_leave_to_serve_stale(control: str, read: str) -> None:
    assert from_plain(control) == read


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("", 0),
        ("public", 0),
        ("no-store, max-age=5", 0),
        ("max-age=5", 5),
        ("max-age=5, S-MaxAge=7", 7),
        ("max-age=5, stale-if-error=10, stale-while-revalidate=3", 15),
    ],
)
def test_longest_time_that_nginx_serves_a_response(control: str, seconds: float) -> None:
    assert served_s(control) == seconds


def test_tags_are_registered_under_the_url_before_the_response_begins() -> None:
    index = MemoryTagIndex()

    async def scenario() -> None:
        app = OriginMiddleware(Answers(FULL), index, longest_response_s=30)
        await ask(app, EDGE)
        assert index.known == {"users": {"example.org/a%20b?c=1"}, "org%207": {
            "example.org/a%20b?c=1"}}  # fmt: skip
        assert index.lasts_s == [3600 + 60 + 30]
        assert app.stats().registered == 1

    run(scenario)


@pytest.mark.parametrize(
    ("headers", "changes"),
    [
        ({}, {}),
        (EDGE, {"method": "POST"}),
        (EDGE, {"raw_path": b"/a%2e"}),
    ],
    ids=["past the edge", "not cacheable", "a spelling that is not stored"],
)
def test_what_the_edge_cannot_store_is_not_registered(
    headers: dict[str, str], changes: dict[str, Any]
) -> None:
    index = MemoryTagIndex()

    async def scenario() -> None:
        await ask(OriginMiddleware(Answers(FULL), index), headers, **changes)
        assert index.known == {}

    run(scenario)


def test_index_that_is_away_or_slow_holds_no_response_up() -> None:
    class Slow(MemoryTagIndex):
        async def add(self, *_: Any) -> bool:
            await asyncio.sleep(1_000)
            return True

    async def scenario() -> None:
        away = MemoryTagIndex()
        away.away = True
        for index in (away, Slow()):
            app = OriginMiddleware(Answers(FULL), index, register_s=0.1)
            began = asyncio.get_running_loop().time()
            assert (await ask(app, EDGE))[0] == 200
            assert asyncio.get_running_loop().time() - began < 1
            assert app.stats().unregistered == 1

    run(scenario)


def test_response_that_takes_too_long_to_begin_becomes_a_gateway_timeout() -> None:
    async def scenario() -> None:
        slow = Answers(FULL)
        slow.first_s = 31
        app = OriginMiddleware(slow, longest_response_s=30)
        status, fields, _ = await ask(app, EDGE)
        assert (status, fields["cache-control"]) == (504, "no-store")
        assert app.stats().cut_off == 1
        assert (await ask(app))[0] == 200, "past the edge nobody counts on it"

    run(scenario)


def test_response_that_takes_too_long_to_end_is_broken_off() -> None:
    async def scenario() -> None:
        slow = Answers(FULL)
        slow.rest_s = 31
        with pytest.raises(EdgeError, match=r"/a b took longer than 30 s"):
            await ask(OriginMiddleware(slow, longest_response_s=30), EDGE)

    run(scenario)


def test_work_after_the_response_is_not_cut_off() -> None:
    async def scenario() -> None:
        app = Answers(FULL)
        app.after_s = 1_000
        await ask(OriginMiddleware(app, longest_response_s=30), EDGE)
        assert app.finished

    run(scenario)


def test_timeout_of_the_application_itself_is_left_to_it() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise TimeoutError("its own")

    async def scenario() -> None:
        with pytest.raises(TimeoutError, match="its own"):
            await ask(OriginMiddleware(broken), EDGE)

    run(scenario)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_failure_is_told_apart_only_where_the_edge_has_something_to_serve(status: int) -> None:
    async def scenario() -> None:
        app = OriginMiddleware(Answers(FULL, status=status))
        expired = EDGE | {"x-edge-state": "EXPIRED"}
        told, fields, _ = await ask(app, expired)
        assert (told, fields) == (599, {"cache-control": "no-store"})
        assert (await ask(app, EDGE | {"x-edge-state": "MISS"}))[0] == status
        assert (await ask(app, expired, method="POST"))[0] == status
        assert (await ask(app, {"x-edge-state": "EXPIRED"}))[0] == status

    run(scenario)


def test_other_protocols_pass() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def scenario() -> None:
        await OriginMiddleware(app)({"type": "lifespan"}, _nothing_to_receive, _send_nothing)
        assert seen == ["lifespan"]

    run(scenario)


async def _send_nothing(message: Any) -> None:
    raise AssertionError(message)
