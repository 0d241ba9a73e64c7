"""Purging Cloudflare, against a stand-in that speaks the documented shapes of its API."""

from __future__ import annotations

import asyncio
import random
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import msgspec
import pytest

from perflab.cache.edge import EdgeError
from perflab.cache.edge.cloudflare import ATTEMPTS, LIMITS, TOKEN_ENV, CloudflareEdge, Plan

ZONE = "0123456789abcdef0123456789abcdef"
TOKEN = "v1-secret-token-of-the-test"


class Api:
    """``POST /client/v4/zones/{zone_id}/purge_cache`` as it is documented."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.failures: list[tuple[int, dict[str, str], Any]] = []
        """Answers to give before the good ones: status, headers, what stands in the body."""

    def fail(self, status: int, code: int = 0, message: str = "failed", **headers: str) -> None:
        errors = [{"code": code, "message": message}]
        body = {"success": False, "errors": errors, "messages": [], "result": None}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.failures.append((status, named, body))

    def answer(self, method: str, path: str, authorization: str, data: bytes) -> Any:
        if authorization != f"Bearer {TOKEN}":
            self.fail(403, 10000, f"Authentication error for {authorization}")
        elif (method, path) != ("POST", f"/client/v4/zones/{ZONE}/purge_cache"):
            self.fail(404, 7003, "Could not route")
        else:
            body = msgspec.json.decode(data)
            kinds = {"purge_everything", "files", "tags", "hosts", "prefixes"}
            assert len(body) == 1, "only one kind of names in a request"
            assert body.keys() <= kinds
            self.bodies.append(body)
        if self.failures:
            return self.failures.pop(0)
        result = {"id": ZONE}
        return 200, {}, {"success": True, "errors": [], "messages": [], "result": result}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
        data = await reader.readexactly(int(fields.get("content-length", "0")))
        method, path, _ = first.split()
        status, headers, answer = self.answer(method, path, fields.get("authorization", ""), data)
        text = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        headers = {"Content-Type": "application/json", "Connection": "close", **headers}
        headers["Content-Length"] = str(len(text))
        shown = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{shown}\r\n".encode() + text)
        await writer.drain()
        writer.close()


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Scene:
    """An edge, the API that it talks to, and its clock."""

    def __init__(self, edge: CloudflareEdge, api: Api, time: Time) -> None:
        self.edge = edge
        self.api = api
        self.time = time


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cloudflare", reason="the extra cloudflare is not installed")
    monkeypatch.setenv(TOKEN_ENV, TOKEN)


@asynccontextmanager
async def scene(plan: Plan = "free") -> AsyncIterator[Scene]:
    api, time = Api(), Time()
    server = await asyncio.start_server(api.connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/client/v4"
    options: dict[str, Any] = {"clock": time, "wall": time, "sleep": time.sleep}
    options["rng"] = random.Random(1)  # noqa: S311 - spreads pauses
    try:
        async with CloudflareEdge(ZONE, plan, api=url, **options) as edge:
            yield Scene(edge, api, time)
    finally:
        server.close()


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_each_kind_of_name_goes_in_its_own_request() -> None:
    async def scenario() -> None:
        async with scene() as s:
            purged = await s.edge.purge(
                urls=["https://example.org/b", "https://example.org/a?x=1"],
                tags=["users", "Org 7"],
                prefixes=["https://example.org/tasks/"],
            )
            assert s.api.bodies == [
                {"files": ["https://example.org/a?x=1", "https://example.org/b"]},
                {"tags": ["org%207", "users"]},
                {"prefixes": ["example.org/tasks/"]},
            ]
            assert (purged.names, purged.removed, purged.requests) == (5, None, 3)

    run(scenario)


def test_everything_needs_no_names() -> None:
    async def scenario() -> None:
        async with scene() as s:
            await s.edge.purge(tags=["a"], everything=True)
            assert s.api.bodies == [{"purge_everything": True}]

    run(scenario)


def test_nothing_to_purge_asks_nobody() -> None:
    async def scenario() -> None:
        async with scene() as s:
            assert (await s.edge.purge()).names == 0
            assert s.api.bodies == []

    run(scenario)


@pytest.mark.parametrize(("plan", "urls_at_once"), [("free", 100), ("enterprise", 500)])
def test_names_are_sent_in_batches_that_the_plan_allows(plan: Plan, urls_at_once: int) -> None:
    async def scenario() -> None:
        async with scene(plan) as s:
            tags = [f"t{n:03}" for n in range(201)]
            urls = [f"https://example.org/{n:04}" for n in range(501)]
            await s.edge.purge(tags=tags + tags, urls=urls)
            sent_tags = [body["tags"] for body in s.api.bodies if "tags" in body]
            sent_urls = [body["files"] for body in s.api.bodies if "files" in body]
            assert [len(batch) for batch in sent_tags] == [100, 100, 1]
            assert [tag for batch in sent_tags for tag in batch] == tags
            assert max(map(len, sent_urls)) == urls_at_once
            assert [url for batch in sent_urls for url in batch] == urls

    run(scenario)


@pytest.mark.parametrize("plan", list(LIMITS))
def test_requests_keep_to_the_rate_of_the_plan(plan: Plan) -> None:
    limits = LIMITS[plan]

    async def scenario() -> None:
        async with scene(plan) as s:
            for _ in range(limits.bucket):
                await s.edge.purge(tags=["a"])
            assert s.time.slept == [], "the bucket is full at first"
            began = s.time.now
            for _ in range(10):
                await s.edge.purge(tags=["a"])
            assert s.time.now - began == pytest.approx(10 / limits.requests_per_s)

    run(scenario)


def test_urls_have_a_limit_of_their_own() -> None:
    async def scenario() -> None:
        async with scene() as s:
            await s.edge.purge(urls=[f"https://example.org/{n}" for n in range(2_400)])
            assert sum(s.time.slept) == pytest.approx(2.0), "800 at once, 800 a second"
            await s.edge.purge(tags=["a"])
            assert sum(s.time.slept) == pytest.approx(2.0)

    run(scenario)


def test_refused_call_is_repeated_after_what_retry_after_says() -> None:
    async def scenario() -> None:
        async with scene("enterprise") as s:
            s.api.fail(429, 10013, "rate limited", Retry_After="7")
            s.api.fail(429, 10013, "rate limited", Retry_After=formatdate(s.time.now + 40))
            purged = await s.edge.purge(tags=["a"])
            assert purged.requests == 3
            assert s.time.slept[0] == pytest.approx(7)
            assert sum(s.time.slept) == pytest.approx(40, abs=0.1)
            assert s.edge.stats().limited == 2

    run(scenario)


def test_after_a_refusal_the_bucket_counts_as_empty() -> None:
    async def scenario() -> None:
        async with scene("free") as s:
            s.api.fail(429, Retry_After="1")
            await s.edge.purge(tags=["a"])
            assert sum(s.time.slept) == pytest.approx(12), "the next token of the free plan"

    run(scenario)


@pytest.mark.parametrize("status", [500, 502, 503, 520, 524])
def test_failing_call_is_repeated_with_growing_pauses(status: int) -> None:
    async def scenario() -> None:
        async with scene("enterprise") as s:
            for _ in range(ATTEMPTS - 1):
                s.api.fail(status)
            await s.edge.purge(tags=["a"])
            assert len(s.api.bodies) == ATTEMPTS
            assert s.time.slept == sorted(s.time.slept)
            assert s.time.slept[-1] > 4 * s.time.slept[0]

    run(scenario)


def test_call_that_keeps_failing_is_given_up_with_what_was_done() -> None:
    async def scenario() -> None:
        async with scene("enterprise") as s:
            await s.edge.purge(tags=["warm"])
            s.api.bodies.clear()
            answer = s.api.answer

            def second_batch_fails(method: str, path: str, authorization: str, data: bytes) -> Any:
                if s.api.bodies:
                    s.api.fail(503, 0, "upstream broke")
                return answer(method, path, authorization, data)

            s.api.answer = second_batch_fails  # type: ignore[method-assign]
            with pytest.raises(EdgeError, match=r"503.*upstream broke.*100 of 150 names"):
                await s.edge.purge(tags=[f"t{n}" for n in range(150)])
            assert len(s.api.bodies) == 1 + ATTEMPTS

    run(scenario)


def test_very_long_retry_after_is_an_error_rather_than_a_wait() -> None:
    async def scenario() -> None:
        async with scene() as s:
            s.api.fail(429, Retry_After="3600")
            with pytest.raises(EdgeError, match="429"):
                await s.edge.purge(tags=["a"])
            assert s.time.slept == []

    run(scenario)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_call_that_cannot_succeed_is_not_repeated(status: int) -> None:
    async def scenario() -> None:
        async with scene() as s:
            s.api.fail(status, 1234, "no such thing")
            with pytest.raises(EdgeError, match=rf"HTTP {status}, 1234 no such thing; see"):
                await s.edge.purge(tags=["a"])
            assert len(s.api.bodies) == 1

    run(scenario)


@pytest.mark.parametrize("body", [b"not json", b"<html>", msgspec.json.encode({"success": True})])
def test_answer_that_confirms_nothing_is_an_error(body: bytes) -> None:
    async def scenario() -> None:
        async with scene() as s:
            s.api.failures += [(200, {}, body)] * ATTEMPTS
            with pytest.raises(EdgeError, match="did not purge"):
                await s.edge.purge(tags=["a"])

    run(scenario)


def test_unreachable_api_is_one_clear_error() -> None:
    async def scenario() -> None:
        time = Time()
        async with CloudflareEdge(ZONE, api="http://127.0.0.1:1/v4", sleep=time.sleep) as edge:
            with pytest.raises(EdgeError, match="no answer; see Cloudflare's status page"):
                await edge.purge(everything=True)
        assert len(time.slept) == ATTEMPTS - 1

    run(scenario)


def test_token_is_in_no_error_and_no_repr(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "wrong-secret-token"
    monkeypatch.setenv(TOKEN_ENV, wrong)

    async def scenario() -> None:
        async with scene() as s:
            assert wrong not in repr(s.edge)
            # the stand-in's message repeats what it was sent
            with pytest.raises(EdgeError, match=rf"403.*\[token\].*{TOKEN_ENV}") as caught:
                await s.edge.purge(tags=["a"])
            assert wrong not in "".join(traceback.format_exception(caught.value))
            assert caught.value.__context__ is None

    run(scenario)


def test_other_credentials_in_the_environment_are_not_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CLOUDFLARE_API_KEY", "CLOUDFLARE_EMAIL", "CLOUDFLARE_API_USER_SERVICE_KEY"):
        monkeypatch.setenv(name, "other")
    monkeypatch.setenv("CLOUDFLARE_BASE_URL", "http://127.0.0.1:1/")

    async def scenario() -> None:
        async with scene() as s:
            await s.edge.purge(tags=["a"])

    run(scenario)


def test_missing_token_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_ENV)
    with pytest.raises(EdgeError, match=f"^{TOKEN_ENV} is not set"):
        CloudflareEdge(ZONE)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén"])
def test_impossible_token_is_refused_unseen(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv(TOKEN_ENV, token)
    with pytest.raises(EdgeError, match="is no token") as caught:
        CloudflareEdge(ZONE)
    assert token not in str(caught.value)


def test_missing_client_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cloudflare", None)
    with pytest.raises(EdgeError, match=r"pip install 'perflab\[cloudflare\]'"):
        CloudflareEdge(ZONE)


def test_wrong_zone_and_plan_are_named() -> None:
    with pytest.raises(EdgeError, match="'example' is no zone id"):
        CloudflareEdge("example")
    with pytest.raises(EdgeError, match="plan 'gold' is unknown; known: free, pro"):
        CloudflareEdge(ZONE, "gold")  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [{"urls": ["/a"]}, {"prefixes": ["a?b"]}])
def test_wrong_names_are_refused_before_anything_is_sent(names: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with scene() as s:
            with pytest.raises(EdgeError, match=r"URL|prefix"):
                await s.edge.purge(tags=["fine"], **names)
            assert s.api.bodies == []

    run(scenario)
