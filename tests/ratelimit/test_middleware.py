"""The middleware around a plain ASGI application, without sockets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from event_loop import run
from perflab.asgi import Message, Receive, Scope, Send
from perflab.ratelimit import (
    Policy,
    RateLimiter,
    RateLimitError,
    RateLimitMiddleware,
    Subject,
    TrustedProxies,
    by_path,
    client_address,
)

POLICIES = [
    Policy(name="auth", limit=2, period_s=900, algorithm="sliding_log"),
    Policy(name="api", limit=5, period_s=900),
    Policy(name="down", limit=1, period_s=60, on_outage="closed"),
]
RULES: dict[str, str | Sequence[str]] = {
    "/": "api",
    "/login": ("auth", "api"),
    "/health": (),
    "/down": "down",
}
HEADERS = [(b"content-type", b"text/plain")]


class App:
    """Counts what reaches it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await send({"type": "http.response.body", "body": b"hello"})
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})


def http(path: str = "/tasks", **changes: Any) -> Scope:
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "headers": [],
        "client": ("192.0.2.1", 4711),
    } | changes


async def sent(app: RateLimitMiddleware, scope: Scope) -> list[Message]:
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": f"{scope['type']}.connect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    return messages


def headers(message: Message) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in message["headers"]}


def protected(
    limiter: RateLimiter, app: App, proxies: TrustedProxies | None = None, **options: Any
) -> RateLimitMiddleware:
    return RateLimitMiddleware(app, limiter, by_path(RULES, client_address(proxies)), **options)


def test_a_request_passes_with_what_is_left() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, POLICIES) as limiter:
            start, body = await sent(protected(limiter, App()), http())
            assert start["status"] == 200
            assert body["body"] == b"hello"
            found = headers(start)
            assert found["content-type"] == "text/plain"
            assert found["ratelimit-policy"] == '"api";q=5;w=900'
            assert found["ratelimit"] == '"api";r=4;t=180'
            assert not any(name.startswith("x-") for name in found)

    run(scenario())


def test_a_request_over_the_limit_never_reaches_the_application() -> None:
    async def scenario() -> None:
        app = App()
        async with RateLimiter(None, POLICIES) as limiter:
            limited = protected(limiter, app, legacy=True)
            for _ in range(2):
                await sent(limited, http("/login"))
            start, body = await sent(limited, http("/login"))
            assert app.reached == ["http"] * 2
            found = headers(start)
            assert start["status"] == 429
            assert found["content-type"] == "application/problem+json"
            assert int(found["content-length"]) == len(body["body"])
            assert found["cache-control"] == "no-store"
            assert 890 < int(found["retry-after"]) <= 900
            assert found["x-ratelimit-remaining"] == "0"
            assert json.loads(body["body"])["violated-policies"] == ["auth"]
            # the other policy was not charged for it
            assert headers((await sent(limited, http()))[0])["x-ratelimit-remaining"] == "2"

    run(scenario())


def test_a_head_request_is_refused_without_a_body() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, POLICIES) as limiter:
            limited = protected(limiter, App())
            for _ in range(2):
                await sent(limited, http("/login"))
            start, body = await sent(limited, http("/login", method="HEAD"))
            assert start["status"] == 429
            assert int(headers(start)["content-length"]) > 0
            assert body["body"] == b""

    run(scenario())


@pytest.mark.parametrize(
    ("path", "policies"),
    [
        ("/", ["api"]),
        ("/login", ["auth", "api"]),
        ("/login/", ["auth", "api"]),
        ("/login/again", ["auth", "api"]),
        ("/loginx", ["api"]),
        ("/health", []),
        ("/health/deep", []),
    ],
)
def test_the_longest_path_decides(path: str, policies: list[str]) -> None:
    charges = by_path(RULES, lambda _: Subject.user("a"), cost=lambda scope: len(scope["path"]))
    assert [(one.policy, one.cost) for one in charges(http(path))] == [
        (name, len(path)) for name in policies
    ]


def test_a_path_must_be_one() -> None:
    with pytest.raises(RateLimitError, match="'login'"):
        by_path({"login": "auth"}, client_address())


@pytest.mark.parametrize("scope", [{"type": "lifespan"}, http("/health")])
def test_what_is_free_passes_untouched(scope: Scope) -> None:
    async def scenario() -> None:
        app = App()
        async with RateLimiter(None, POLICIES) as limiter:
            messages = await sent(protected(limiter, app), scope)
            assert app.reached == [scope["type"]]
            assert all(one.get("headers", HEADERS) == HEADERS for one in messages)

    run(scenario())


def forwarded(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value.encode()) for value in values]


def test_a_forged_address_buys_nothing() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, POLICIES) as limiter:
            direct = protected(limiter, App())
            behind = protected(limiter, App(), TrustedProxies(["10.0.0.0/8"]))
            for limited, client, tail in (
                (direct, "192.0.2.1", ()),
                (behind, "10.0.0.1", ("198.51.100.7",)),
            ):
                for number in range(4):
                    lines = forwarded(f"1.1.1.{number}", *tail)
                    scope = http("/login", headers=lines, client=(client, 1))
                    start, _ = await sent(limited, scope)
                    assert start["status"] == (200 if number < 2 else 429)

    run(scenario())


def test_clients_behind_one_proxy_have_quotas_of_their_own() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, POLICIES) as limiter:
            limited = protected(limiter, App(), TrustedProxies(["10.0.0.0/8"]))
            for number in range(5):
                lines = forwarded(f"198.51.100.{number}")
                scope = http("/login", headers=lines, client=("10.0.0.1", 1))
                assert (await sent(limited, scope))[0]["status"] == 200

    run(scenario())


def test_a_whole_ipv6_network_has_one_quota() -> None:
    async def scenario() -> None:
        async with RateLimiter(None, POLICIES) as limiter:
            limited = protected(limiter, App())
            found = [
                (await sent(limited, http("/login", client=(f"2001:db8::{n:x}", 1))))[0]["status"]
                for n in range(4)
            ]
            assert found == [200, 200, 429, 429]

    run(scenario())


@pytest.mark.parametrize("client", [None, ("testclient", 1), ("", 0)])
def test_clients_without_an_address_share_one_quota(client: Any) -> None:
    async def scenario() -> None:
        async with RateLimiter(None, POLICIES) as limiter:
            limited = protected(limiter, App())
            found = [
                (await sent(limited, http("/login", client=client)))[0]["status"] for _ in range(3)
            ]
            assert found == [200, 200, 429]

    run(scenario())


def test_a_websocket_is_charged_at_its_handshake() -> None:
    async def scenario() -> None:
        app = App()
        async with RateLimiter(None, POLICIES) as limiter:
            limited = protected(limiter, app)
            scope = http("/login", type="websocket")
            for _ in range(2):
                (accepted,) = await sent(limited, scope)
                assert accepted["type"] == "websocket.accept"
                assert "ratelimit" in headers(accepted)
            assert await sent(limited, scope) == [{"type": "websocket.close", "code": 1013}]
            scope["extensions"] = {"websocket.http.response": {}}
            start, body = await sent(limited, scope)
            assert start["type"] == "websocket.http.response.start"
            assert start["status"] == 429
            assert body["type"] == "websocket.http.response.body"
            assert json.loads(body["body"])["status"] == 429
            assert app.reached == ["websocket"] * 2

    run(scenario())


def test_an_outage_of_a_closed_policy_is_503() -> None:
    async def scenario() -> None:
        # nobody listens on the port of this service
        async with RateLimiter("redis://127.0.0.1:1/0", POLICIES, budget_s=5) as limiter:
            start, body = await sent(protected(limiter, App()), http("/down"))
            assert start["status"] == 503
            assert headers(start)["retry-after"] == "1"
            assert json.loads(body["body"])["violated-policies"] == ["down"]
            assert (await sent(protected(limiter, App()), http()))[0]["status"] == 200

    run(scenario())
