"""Requests counted by operation and status, and the small HTTP server of ``/metrics``."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from perflab.asgi import Receive, Scope, Send
from perflab.monitor import (
    MetricsEndpoint,
    MetricsRegistry,
    MonitorError,
    RequestCounts,
    RequestsMiddleware,
    served_from_thread,
)

from .test_snapshots import figure, figures


def route(scope: Scope) -> str:
    return "/things/{thing}" if scope["path"].startswith("/things/") else "unknown"


def test_requests_are_counted_under_their_route_and_a_failure_is_a_500() -> None:
    counts = RequestCounts()

    async def answer(request: Request) -> PlainTextResponse:
        assert counts.in_progress == 1
        if request.path_params["thing"] == "bad":
            raise RuntimeError
        return PlainTextResponse("ok", 200 if request.path_params["thing"] == "a" else 404)

    app = Starlette(routes=[Route("/things/{thing}", answer, methods=["GET"])])
    watched = RequestsMiddleware(app, route=route, counts=counts)
    registry = MetricsRegistry(process=False)
    registry.register("http", counts.stats)

    async def scenario() -> None:
        transport = httpx.ASGITransport(watched, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
            for path in ("/things/a", "/things/a", "/things/b", "/things/bad", "/elsewhere"):
                await client.get(path)
            await client.request("BREW", "/things/a")

    asyncio.run(scenario())
    found = figures(registry)
    thing = "GET /things/{thing}"
    total = "perflab_http_requests_total"
    assert figure(found, total, operation=thing, status="200") == 2
    assert figure(found, total, operation=thing, status="404") == 1
    assert figure(found, total, operation=thing, status="500") == 1
    assert figure(found, total, operation="GET unknown", status="404") == 1
    assert figure(found, total, operation="other /things/{thing}", status="405") == 1
    assert figure(found, "perflab_http_latency_seconds_count") == 6
    assert figure(found, "perflab_http_in_progress") == 0


def test_a_request_that_nobody_waits_for_is_no_failure_of_the_server() -> None:
    counts = RequestCounts()

    async def hang(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        watched = RequestsMiddleware(hang, route=lambda _: "/", counts=counts)
        scope = {"type": "http", "method": "GET", "path": "/"}
        asking = asyncio.create_task(watched(scope, nothing, nothing))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        assert counts.in_progress == 1
        asking.cancel()
        await asyncio.wait([asking])

    async def nothing() -> None: ...

    asyncio.run(scenario())
    assert counts.stats().operations["GET /"].by_status == {499: 1}
    assert counts.in_progress == 0


def test_the_endpoint_answers_what_it_is_asked_and_nothing_else() -> None:
    async def scenario() -> None:
        registry = MetricsRegistry()
        async with MetricsEndpoint(registry) as endpoint, httpx.AsyncClient() as client:
            answer = await client.get(endpoint.url)
            assert answer.status_code == 200
            assert "perflab_monitor_failures_total" in answer.text
            asked = {"accept": "application/openmetrics-text;version=1.0.0"}
            assert (await client.get(endpoint.url, headers=asked)).text.endswith("# EOF\n")
            head = await client.head(endpoint.url)
            assert (head.status_code, head.content) == (200, b"")
            assert int(head.headers["content-length"]) > 0
            assert (await client.post(endpoint.url)).status_code == 405
            elsewhere = endpoint.url.replace("/metrics", "/")
            assert (await client.get(elsewhere)).status_code == 404
            port = int(endpoint.url.rpartition(":")[2].partition("/")[0])
            for bad in (b"\r\n\r\n", b"GET", b"x" * 40_000, b"\xff\r\n:\r\n\r\n"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(bad)
                writer.write_eof()
                await reader.read()
                writer.close()
            assert (await client.get(endpoint.url)).status_code == 200

    asyncio.run(scenario())


def test_from_a_thread_and_a_port_that_is_taken_is_named() -> None:
    registry = MetricsRegistry(process=False)
    with served_from_thread(registry) as url:
        assert httpx.get(url).status_code == 200
        port = int(url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(MonitorError, match=f"127.0.0.1:{port} for /metrics: "):
            served_from_thread(registry, port=port).__enter__()
        with pytest.raises(MonitorError, match="port=70000 for /metrics: must be from 0 to 65535"):
            served_from_thread(registry, port=70_000).__enter__()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
