"""docs/realtime.md: its examples print what it says, its figures are the code's; tokens."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any, get_args

from event_loop import own_prefix, run
from perflab.realtime.client import ClientSettings, State
from perflab.realtime.hub import Hub, HubSettings
from perflab.realtime.tokens import Tokens
from perflab.services import Redis

PAGE = Path(__file__).parents[2] / "docs" / "realtime.md"
TEXT = PAGE.read_text()


def test_the_examples_print_what_the_page_says(redis_server: Redis, monkeypatch: Any) -> None:
    secret = "of-the-tests-and-of-nothing-else-at-all"
    prefix = own_prefix()
    monkeypatch.setitem(Hub.__init__.__kwdefaults__, "prefix", prefix)
    first, second = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    assert len(first.strip().splitlines()) <= 10

    async def executed(block: str, names: dict[str, Any]) -> None:
        said = io.StringIO()
        code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(said):
            result = eval(code, names)  # noqa: S307 - our own page
            if inspect.isawaitable(result):
                await result
        assert said.getvalue().splitlines() == re.findall(r"# -> (.+)", block)

    async def scenario() -> None:
        tokens = Tokens(secret)
        async with Hub(redis_server.url(), tokens) as hub:
            block = re.sub(r"ws://hub-[12]:8101", hub.url, first)
            await executed(block, {"token": tokens.sign("7", 60), "api": None})
        await executed(second, {"redis": redis_server.url(), "secret": secret})

    run(scenario())


def test_the_figures_are_the_defaults() -> None:
    hub, client = HubSettings(), ClientSettings()
    assert f"{hub.max_connections:,} connections" in TEXT
    assert f"{hub.queue_limit:,} messages; beyond that" in TEXT
    assert f"up to {hub.batch_most} messages" in TEXT
    assert f"waited {1_000 * hub.batch_interval_s:.0f} ms" in TEXT
    assert f"({hub.heartbeat_s:.0f} s + {hub.timeout_s:.0f} s)" in TEXT
    assert f"{hub.policy.limit} requests in {hub.policy.period_s:.0f} s" in TEXT
    assert (
        f"{client.attempts} attempts with full jitter ({client.backoff_base_s} s, doubling,"
        f" at most {client.backoff_cap_s:.0f} s)"
    ) in TEXT


def test_every_state_is_explained() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", TEXT.split("states")[1], re.MULTILINE)) == set(
        get_args(State)
    )


def test_tokens_are_believed_only_if_they_were_signed_here_and_are_not_over() -> None:
    clock = [1_000.0]
    tokens = Tokens("a" * 32, lambda: clock[0])
    others = Tokens("b" * 32, lambda: clock[0])

    def user(token: str | None) -> str | None:
        return asyncio.run(tokens(token))

    good = tokens.sign("user:with:colons", 60)
    assert user(good) == "user:with:colons"
    for bad in (None, "", "ä", "x", good[:-1], "A" + good[1:], others.sign("7", 60)):
        assert user(bad) is None, bad
    clock[0] += 60
    assert user(good) is None
