"""Tokens for hubs out of a session: kept, renewed in time, and given up only when it is no use."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from event_loop import run
from perflab.realtime import RealtimeError
from perflab.realtime.client import RealtimeClient
from perflab.realtime.client.socket import ConnectFailed, TokenRefused
from perflab.realtime.client.tokens import SessionToken


class Api:
    """Answers as it is told to, and counts."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self.status = 201
        self.body: bytes | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        assert (request.method, request.url.path) == ("POST", "/v1/channels/token")
        assert request.headers["authorization"] == "Bearer session"
        given = {"token": f"t{self.asked}", "expires_in": 100, "token_type": "Bearer"}
        return httpx.Response(self.status, content=self.body or msgspec.json.encode(given))

    def token(self) -> SessionToken:
        return SessionToken(
            "http://api.test/v1/",
            "session",
            timeout_s=1.0,
            transport=httpx.MockTransport(self.answer),
            clock=lambda: self.now,
        )


def test_a_token_is_kept_for_most_of_its_time_and_then_renewed() -> None:
    async def scenario() -> None:
        api = Api()
        token = api.token()
        assert [await token.get() for _ in range(3)] == ["t1"] * 3
        api.now = 89.9
        assert await token.get() == "t1"
        api.now = 90.0
        assert await token.get() == "t2"
        assert api.asked == 2

    run(scenario())


def test_an_old_one_that_a_hub_refuses_is_replaced_and_a_new_one_given_up() -> None:
    async def scenario() -> None:
        api = Api()
        token = api.token()
        await token.get()
        assert not token.refused(), "it was new"
        await token.get()
        await token.get()
        assert token.refused(), "it was kept"
        assert await token.get() == "t3"

    run(scenario())


@pytest.mark.parametrize("status", [200, 429, 500, 503])
def test_an_api_that_gives_none_now_is_asked_again_later(status: int) -> None:
    async def scenario() -> None:
        api = Api()
        api.status = status
        token = api.token()
        with pytest.raises(ConnectFailed, match=str(status)):
            await token.get()
        api.status, api.body = 201, b'{"token":1}'
        with pytest.raises(ConnectFailed, match="ValidationError"):
            await token.get()
        api.body = None
        assert await token.get() == "t3"

    run(scenario())


def test_a_session_that_is_over_is_said_so() -> None:
    async def scenario() -> None:
        api = Api()
        api.status = 401
        with pytest.raises(TokenRefused, match="log in again"):
            await api.token().get()

    run(scenario())


def test_a_session_needs_an_api_and_takes_no_token_beside_it() -> None:
    async def scenario() -> None:
        for options in ({}, {"api": "http://api.test", "token": "t"}):
            with pytest.raises(RealtimeError, match="takes the place of a token"):
                RealtimeClient(["ws://h"], session="s", **options)  # type: ignore[arg-type]

    run(scenario())
