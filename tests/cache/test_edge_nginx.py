"""A real nginx as the edge: what it stores, for how long, for whom, and that purges hold."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from perflab.cache.cache_status import CacheStatus, parse
from perflab.cache.edge import (
    EdgePurger,
    NginxEdge,
    NginxSettings,
    OriginMiddleware,
    cache_tag,
    nginx_files,
    render,
)
from perflab.cache.tiered import TieredCache
from perflab.services import RungUnavailable, ServiceError
from perflab.services.account import server_account
from perflab.services.embedded.binaries import runnable_by
from perflab.services.embedded.nginx import NAMES, EmbeddedNginx, start_nginx
from perflab.services.embedded.nginx_binary import find_nginx
from perflab.services.home import Home
from perflab.services.warden import inhabitants, send

from .edge_support import Later, MemoryTagIndex, Origin, Response, get, serve

CODINGS = ("identity", "gzip", "br")
LIMIT_S = 120


@pytest.fixture(scope="module")
def nginx() -> Iterator[EmbeddedNginx]:
    try:
        found = find_nginx()
    except RungUnavailable as reason:
        pytest.skip(str(reason))
    account = server_account()
    home = Home(account)
    programs = runnable_by(found, account, home.path, home.path)
    server = start_nginx(home.path, account, programs, holding=home)
    yield server
    server.halt()
    home.close()


class Site:
    """An origin behind an nginx, and an edge that purges it."""

    def __init__(self, nginx: EmbeddedNginx, settings: NginxSettings) -> None:
        self.nginx = nginx
        self.settings = settings
        self.origin = Origin()
        self.index = MemoryTagIndex()
        self.middleware = OriginMiddleware(self.origin, self.index)
        self.time = Later()
        self.edge = NginxEdge(settings, self.index, clock=self.time.clock, sleep=self.time.sleep)

    async def get(self, target: str = "/page", **headers: str) -> Response:
        return await get(self.nginx.site.port, target, **headers)

    async def outcome(self, target: str = "/page", **headers: str) -> CacheStatus:
        """How the edge says that it answered."""
        (status,) = parse((await self.get(target, **headers)).edge)
        return status

    async def is_stored(self, target: str = "/page", **headers: str) -> bool:
        return (await self.outcome(target, **headers)).hit

    async def later(self) -> None:
        """Return when every purge has been repeated."""
        self.time.move(self.settings.longest_response_s + 2)
        await self.edge.settled()

    def url(self, target: str = "/page") -> str:
        return f"http://127.0.0.1:{self.nginx.site.port}{target}"

    async def fill(self, *targets: str, **headers: str) -> None:
        """Have these stored in every variant."""
        self.origin.answers(**{"Cache_Control": "max-age=60", **headers})
        for target in targets or ("/page",):
            for coding in CODINGS:
                await self.get(target, Accept_Encoding=coding)
                assert await self.is_stored(target, Accept_Encoding=coding)

    async def variants_stored(self, target: str = "/page") -> list[bool]:
        """Looks at the files, so as not to store anything by asking."""
        stored = [nginx_files.read(path) for path in nginx_files.stored(self.folder)]
        known = {(found.variant, found.url) for found in stored if found}
        return [(coding, f"127.0.0.1{target}") in known for coding in CODINGS]

    @property
    def folder(self) -> Path:
        return Path(self.settings.folder)

    def age(self, seconds: int) -> None:
        """Make all that is stored older, by what nginx wrote down about its freshness."""
        for path in nginx_files.stored(self.folder):
            with Path(path).open("r+b") as file:
                version, valid_until = struct.unpack("@Nq", file.read(16))
                assert version == 5, "the layout of nginx's files has changed"
                file.seek(8)
                file.write(struct.pack("@q", valid_until - seconds))


@asynccontextmanager
async def site(nginx: EmbeddedNginx, **settings: Any) -> AsyncIterator[Site]:
    place = nginx.site
    bound = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (await bound).middleware(scope, receive, send)

    async with serve(app) as origin_port:
        chosen = NginxSettings(
            port=place.port, origin_port=origin_port, folder=str(place.cache), **settings
        )
        await asyncio.to_thread(nginx.serve, render(chosen))
        made = Site(nginx, chosen)
        bound.set_result(made)
        async with made.edge:
            yield made


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), LIMIT_S))


async def eventually(check: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    """Return when it is so; the test's own limit ends a wait in vain."""
    while not await check():
        await asyncio.sleep(0.01)


def test_first_request_is_a_miss_and_the_second_a_hit(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60", Date="Thu, 01 Jan 2026 00:00:00 GMT")
            first, second = await s.get(), await s.get()
        assert parse(first.edge) == (CacheStatus(cache="perflab-edge", fwd="uri-miss"),)
        assert parse(second.edge) == (CacheStatus(cache="perflab-edge", hit=True),)
        assert first.body == second.body == b"/page identity v1"
        assert s.origin.asked == 1
        assert s.origin.requests[0][1]["cdn-loop"] == "perflab-edge"
        assert first.headers["cache-control"] == second.headers["cache-control"] == "max-age=60"
        # no Age from nginx: the origin's Date lets clients tell the age themselves
        assert second.headers["date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
        assert "age" not in second.headers

    run(scenario)


def test_expired_response_is_revalidated_and_good_for_another_lifetime(
    nginx: EmbeddedNginx,
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill()
            s.age(61)
            assert await s.outcome() == CacheStatus(
                cache="perflab-edge", fwd="stale", fwd_status=304
            )
            assert s.origin.requests[-1][1]["if-none-match"] == '"identity1"'
            assert await s.is_stored()

    run(scenario)


def test_expired_response_is_replaced_when_it_has_changed(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill()
            s.age(61)
            s.origin.version = 2
            changed = await s.get()
            assert parse(changed.edge) == (CacheStatus(cache="perflab-edge", fwd="stale"),)
            assert changed.body == (await s.get()).body == b"/page identity v2"

    run(scenario)


def test_stale_while_revalidate_serves_at_once_and_refreshes_behind(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill(Cache_Control="max-age=60, stale-while-revalidate=30")
            s.origin.version = 2
            s.age(61)
            stale = await s.get()
            assert stale.body == b"/page identity v1"
            assert parse(stale.edge) == (
                CacheStatus(cache="perflab-edge", hit=True, detail="STALE"),
            )

            async def refreshed() -> bool:
                return (await s.get()).body == b"/page identity v2"

            await eventually(refreshed)
            s.age(60 + 31)
            assert (await s.outcome()).fwd == "stale", "beyond its window it must be asked for"

    run(scenario)


def test_one_refresh_at_a_time_goes_on_behind_stale_answers(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill(Cache_Control="max-age=60, stale-while-revalidate=30")
            before = s.origin.asked
            s.origin.version = 2  # a 304 would be over with its head, and could not be held
            s.age(61)
            s.origin.hold = asyncio.Event()
            assert (await s.outcome()).detail == "STALE"
            for _ in range(3):
                assert await s.outcome() == CacheStatus(
                    cache="perflab-edge", hit=True, detail="UPDATING"
                )
            s.origin.hold.set()
            assert s.origin.asked <= before + 1

    run(scenario)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_stale_if_error_serves_what_is_stored_while_the_origin_fails(
    nginx: EmbeddedNginx, status: int
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill(Cache_Control="max-age=60, stale-if-error=300")
            s.origin.status = status
            s.age(61)
            for _ in range(2):  # the failure is not stored in its place
                served = await s.get()
                assert (served.status, served.body) == (200, b"/page identity v1")
                assert parse(served.edge) == (
                    CacheStatus(cache="perflab-edge", fwd="stale", detail="STALE"),
                )
            s.age(301)
            assert (await s.get()).status == 502, "beyond its window it must not be served"

    run(scenario)


def test_stale_if_error_serves_what_is_stored_while_the_origin_is_down(
    nginx: EmbeddedNginx,
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill("/kept", Cache_Control="max-age=60, stale-if-error=300")
            await s.fill("/bare", Cache_Control="max-age=60")
            s.age(61)
        served = await s.get("/kept")
        assert (served.status, served.body) == (200, b"/kept identity v1")
        assert parse(served.edge) == (
            CacheStatus(cache="perflab-edge", fwd="stale", fwd_status=502, detail="STALE"),
        )
        assert (await s.get("/bare")).status == 502, "stale without leave"

    run(scenario)


def test_origin_that_comes_back_is_asked_again(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            port = s.settings.origin_port
        assert (await s.get("/new")).status == 502
        s.origin.answers(Cache_Control="max-age=60")
        async with serve(s.middleware, port):
            assert (await s.get("/new")).status == 200

    run(scenario)


@pytest.mark.parametrize("status", [500, 503, 429])
def test_errors_that_must_not_last_are_not_stored(nginx: EmbeddedNginx, status: int) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60")
            s.origin.status = status
            assert (await s.get()).status == status
            s.origin.status = 200
            assert (await s.get()).status == 200

    run(scenario)


@pytest.mark.parametrize(
    ("accepts", "coding"),
    [
        ("", "identity"),
        ("br, gzip", "br"),
        ("gzip, deflate, br;q=0.5", "br"),
        ("gzip;q=1.0, br;q=0", "gzip"),
        ("GZIP", "gzip"),
        ("br;q=0.000, gzip ; q=0.001", "gzip"),
        ("xgzip, brotli, deflate", "identity"),
        ("*", "identity"),
    ],
)
def test_origin_is_asked_for_one_coding_that_the_client_accepts(
    nginx: EmbeddedNginx, accepts: str, coding: str
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill(Vary="Accept-Encoding")
            answer = await s.get(Accept_Encoding=accepts)
            assert parse(answer.edge)[0].hit, "every client shares one of three variants"
            assert answer.body == f"/page {coding} v1".encode()
            assert answer.headers["vary"] == "Accept-Encoding"

    run(scenario)


@pytest.mark.parametrize(
    "headers",
    [
        {"Cache_Control": "no-store"},
        {"Cache_Control": "private, max-age=60"},
        {"Cache_Control": "max-age=0"},
        {},
        {"Cache_Control": "max-age=60", "Set_Cookie": "session=1"},
        {"Cache_Control": "max-age=60", "Vary": "Cookie"},
        {"Cache_Control": "max-age=60", "Vary": "Accept-Encoding, Accept-Language"},
        {"Cache_Control": "max-age=60", "Vary": "*"},
        {"Cache_Control": "max-age=60", "CDN_Cache_Control": "no-store"},
    ],
    ids=str,
)
def test_what_must_not_be_shared_is_not_stored(
    nginx: EmbeddedNginx, headers: dict[str, str]
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(**headers)
            await s.get()
            assert not await s.is_stored()
            assert s.origin.asked == 2

    run(scenario)


def test_requests_with_credentials_neither_read_nor_fill_the_cache(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60")
            await s.get(Authorization="Bearer 1")
            assert not await s.is_stored()
            assert (await s.outcome(Authorization="Bearer 1")).fwd == "bypass"
            assert s.origin.asked == 3

    run(scenario)


@pytest.mark.parametrize(
    "target", ["/%70age", "/p%61ge", "/x/../page", "/./page", "/page?", "/%c3%a9", "/a%2fb"]
)
def test_other_spellings_of_a_url_are_not_stored(nginx: EmbeddedNginx, target: str) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60")
            await s.get(target)
            assert (await s.outcome(target)).fwd == "bypass"

    run(scenario)


@pytest.mark.parametrize("target", ["/page?a=1&b=[2]", "/%C3%A9?q=%20", "/a//b/~c.d/", "/a%2Fb"])
def test_urls_in_their_usual_spelling_are_stored(nginx: EmbeddedNginx, target: str) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill(target)
            purged = await s.edge.purge(urls=[s.url(target)])
            assert purged.removed == len(CODINGS)

    run(scenario)


def test_cdn_cache_control_rules_the_edge_and_cache_control_the_client(
    nginx: EmbeddedNginx,
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(
                Cache_Control="no-cache",
                CDN_Cache_Control="max-age=60, stale-if-error=300",
                Cache_Tag="a,b",
                Expires="Thu, 01 Jan 1970 00:00:00 GMT",
            )
            first, hit = await s.get(), await s.get()
            unchanged = await s.get(If_None_Match='"identity1"')
            assert parse(hit.edge)[0].hit
            assert unchanged.status == 304
            for answer in (first, hit, unchanged):
                assert answer.headers["cache-control"] == "no-cache"
                assert not {"cdn-cache-control", "cache-tag"} & answer.headers.keys()
                assert not any(name.startswith("x-") for name in answer.headers)
            s.age(61)
        assert (await s.get()).status == 200, "stale-if-error of CDN-Cache-Control"

    run(scenario)


def test_client_reads_no_cache_control_where_the_origin_sent_none(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(CDN_Cache_Control="max-age=60")
            await s.get()
            hit = await s.get()
            assert parse(hit.edge)[0].hit
            assert "cache-control" not in hit.headers

    run(scenario)


def test_concurrent_misses_ask_the_origin_once(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60")
            s.origin.hold = asyncio.Event()
            crowd = [asyncio.create_task(s.get()) for _ in range(20)]

            async def asked() -> bool:
                return s.origin.asked > 0

            await eventually(asked)
            s.origin.hold.set()
            answers = await asyncio.gather(*crowd)
            assert {answer.body for answer in answers} == {b"/page identity v1"}
            assert s.origin.asked == 1

    run(scenario)


def test_cache_status_of_the_tiers_behind_stays(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60", Cache_Status="memory; hit; ttl=3")
            behind = CacheStatus(cache="memory", hit=True, ttl=3)
            first, second = parse((await s.get()).edge), parse((await s.get()).edge)
            assert first == (behind, CacheStatus(cache="perflab-edge", fwd="uri-miss"))
            assert second == (behind, CacheStatus(cache="perflab-edge", hit=True))

    run(scenario)


def test_edge_in_front_of_itself_is_noticed(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            looped = await s.get(CDN_Loop="other, perflab-edge;v=1")
            assert (looped.status, s.origin.asked) == (508, 0)
            passed = await s.get(CDN_Loop="other")
            assert passed.status == 200
            assert s.origin.requests[-1][1]["cdn-loop"] == "other, perflab-edge"

    run(scenario)


def test_purge_by_url_drops_every_variant_and_nothing_else(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill("/page", "/page?a=1", "/pages")
            purged = await s.edge.purge(urls=[s.url("/page") + "#part"])
            assert (purged.names, purged.removed) == (1, len(CODINGS))
            assert await s.variants_stored("/page") == [False] * 3
            assert await s.variants_stored("/page?a=1") == [True] * 3
            assert await s.variants_stored("/pages") == [True] * 3
            assert (await s.outcome("/page")).fwd == "uri-miss"
            assert await s.is_stored("/page")

    run(scenario)


@pytest.mark.parametrize("index", ["there", "away", "empty"])
def test_purge_by_tag_holds_whatever_the_index_knows(nginx: EmbeddedNginx, index: str) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill("/a", Cache_Tag=cache_tag(["users", "org 7"]))
            await s.fill("/b", Cache_Tag=cache_tag(["users", "org 8"]))
            if index == "away":
                s.index.away = True
            elif index == "empty":
                s.index.known.clear()
            purged = await s.edge.purge(tags=["Org 7"])
            if index != "empty":
                assert purged.removed == len(CODINGS)
            assert s.edge.stats().scans == (1 if index == "away" else 0)
            await s.later()
            assert await s.variants_stored("/a") == [False] * 3
            assert await s.variants_stored("/b") == [True] * 3
            await s.edge.purge(tags=["users"])
            await s.later()
            assert await s.variants_stored("/b") == [False] * 3

    run(scenario)


def test_response_with_as_many_tags_as_there_may_be_is_stored_and_purged(
    nginx: EmbeddedNginx,
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            tags = [f"{number:0128}" for number in range(127)]
            await s.fill(Cache_Tag=cache_tag(tags))
            s.index.away = True
            assert (await s.edge.purge(tags=[tags[-1]])).removed == len(CODINGS)

    run(scenario)


def test_purge_by_prefix_and_of_everything(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill("/tasks/1", "/tasks/2?x", "/users")
            assert (await s.edge.purge(prefixes=["other.example/tasks/"])).removed == 0
            assert (await s.edge.purge(prefixes=["127.0.0.1/tasks/"])).removed == 2 * len(CODINGS)
            assert await s.variants_stored("/users") == [True] * 3
            await s.later()
            assert (await s.edge.purge(everything=True)).removed == len(CODINGS)
            assert list(nginx_files.stored(s.folder)) == []

    run(scenario)


@pytest.mark.parametrize("by", ["url", "tag"])
def test_response_that_was_under_way_during_a_purge_is_dropped_after_it(
    nginx: EmbeddedNginx, by: str
) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            s.origin.answers(Cache_Control="max-age=60", Cache_Tag="a")
            s.origin.hold = asyncio.Event()
            under_way = asyncio.create_task(s.get())

            async def asked() -> bool:
                return s.origin.asked > 0

            await eventually(asked)
            urls, tags = ([s.url()], []) if by == "url" else ([], ["a"])
            assert (await s.edge.purge(urls=urls, tags=tags)).removed == 0
            s.origin.hold.set()
            s.origin.version = 2
            assert (await under_way).body == b"/page identity v1"
            assert await s.is_stored(), "it is there, stored after the purge"
            await s.later()
            assert s.edge.stats().removed_later == 1
            assert (await s.get()).body == b"/page identity v2"

    run(scenario)


def test_killed_nginx_leaves_the_origin_serving_and_comes_back(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill("/kept", "/purged", Cache_Tag="a", CDN_Cache_Control="max-age=60")
            for pid in inhabitants(nginx.site.home, NAMES):
                send(pid, signal.SIGKILL)

            async def refused() -> bool:
                try:
                    await s.get()
                except ConnectionError:
                    return True
                return False

            await eventually(refused)
            direct = await get(s.settings.origin_port, "/kept")
            assert (direct.status, direct.body) == (200, b"/kept  v1")
            assert not {"cache-tag", "cdn-cache-control"} & direct.headers.keys()
            assert (await s.edge.purge(urls=[s.url("/purged")])).removed == len(CODINGS)
            await asyncio.to_thread(nginx.restart)
            assert await s.is_stored("/kept"), "what was stored outlives the server"
            assert not await s.is_stored("/purged"), "a purge needs no running server"

    run(scenario)


def test_killing_only_the_master_is_no_way_to_keep_the_port(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill()
            os.kill(nginx.site.main_pid, signal.SIGKILL)
            await asyncio.to_thread(nginx.restart)
            assert (await s.get()).status == 200
            masters = inhabitants(nginx.site.home, NAMES)
            assert nginx.site.main_pid in masters
            assert all(
                pid == nginx.site.main_pid or (seen and seen.parent == nginx.site.main_pid)
                for pid, seen in masters.items()
            ), "workers of the killed master are gone"

    run(scenario)


def test_invalidation_of_the_tiers_reaches_the_edge(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill("/a", Cache_Tag=cache_tag(["user:1"]))
            await s.fill("/b", "/c")
            purger = EdgePurger(s.edge, lambda key: [s.url("/b")] if key == "b" else [])
            async with TieredCache(beyond=[purger]) as cache:
                await cache.invalidate(tags=["user:1"], keys=["b", "unknown"])
                assert await s.variants_stored("/a") == [False] * 3
                assert await s.variants_stored("/b") == [False] * 3
                assert await s.variants_stored("/c") == [True] * 3
                await cache.invalidate(everything=True)
                assert await s.variants_stored("/c") == [False] * 3

    run(scenario)


def test_configuration_that_nginx_refuses_changes_nothing(nginx: EmbeddedNginx) -> None:
    async def scenario() -> None:
        async with site(nginx) as s:
            await s.fill()
            with pytest.raises(ServiceError, match=r'refuses.*unknown directive "serve_me"'):
                await asyncio.to_thread(nginx.serve, "serve_me;")
            assert await s.is_stored()

    run(scenario)
