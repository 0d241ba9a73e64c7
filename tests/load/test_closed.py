"""Closed loads: fixed concurrency, pauses, and an end."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import Any

import numpy as np
import pytest

from perflab.load import LoadError, Request, Target, run_closed
from perflab.load import pool as pool_module
from perflab.load.pool import Pool

from .server import OK, Asked, never, ok, serving, then_closes

GET = Request("GET", "/")


def test_users_send_one_at_a_time_each_on_a_connection() -> None:
    busy: dict[int, int] = {}
    most = 0

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        busy[asked.connection] = busy.get(asked.connection, 0) + 1
        most = max(most, sum(busy.values()))
        await asyncio.sleep(0.001)
        busy[asked.connection] -= 1
        writer.write(OK)

    with serving(answer) as server:
        samples = run_closed(server.target, GET, users=4, seconds=0.4)
    assert samples.kind == "closed"
    assert samples.answered.all()
    assert len(samples) == len(server.asked) > 8
    assert most == server.connections == 4
    assert samples.dropped == 0
    assert (samples.scheduled_s <= 0.45).all()
    assert 0 < samples.throughput_per_s <= len(samples) / 0.4


def test_requests_are_sent_in_turn() -> None:
    with serving(ok) as server:
        run_closed(
            server.target, [Request("GET", "/a"), Request("GET", "/b")], users=1, seconds=0.1
        )
    sent = [asked.target for asked in server.asked]
    assert sent[:4] == ["/a", "/b", "/a", "/b"]


def test_users_think_between_answer_and_next_request() -> None:
    with serving(ok) as server:
        samples = run_closed(server.target, GET, users=3, seconds=0.5, think_s=0.05)
    # Little's law: N = X (R + Z), so 3 users make at most 3 / 0.05 requests a second
    assert 3 < len(samples) <= 3 * (0.5 / 0.05 + 1)
    first = np.sort(samples.scheduled_s)[:3]
    np.testing.assert_allclose(first, [0, 0.05 / 3, 0.1 / 3], atol=1e-6)
    assert (samples.taken_s >= samples.scheduled_s).all()
    assert len(server.asked) == len(samples)


def test_several_pauses_are_taken_in_turn() -> None:
    with serving(ok) as server:
        samples = run_closed(server.target, GET, users=1, seconds=0.4, think_s=[0.02, 0.1])
    pauses = samples.scheduled_s[1:] - samples.ended_s[:-1]
    np.testing.assert_allclose(pauses, np.resize([0.02, 0.1], len(pauses)), atol=1e-6)
    assert len(pauses) >= 2


def test_failure_does_not_end_a_user() -> None:
    async def hang_up(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with serving(hang_up) as server:
        samples = run_closed(server.target, Request("POST", "/"), users=2, seconds=0.2)
    assert samples.errors["reset"] == len(samples) > 4
    assert samples.throughput_per_s == 0


def test_server_that_closes_after_each_answer_is_measured_with_its_connecting() -> None:
    with serving(then_closes(ok)) as server:
        samples = run_closed(server.target, GET, users=2, seconds=0.2)
    answered = int(samples.answered.sum())
    assert answered + samples.errors["reset"] == len(samples)
    assert answered > 4
    assert samples.connections_opened >= answered


def test_requests_out_at_the_end_are_waited_for() -> None:
    with serving(never) as server:
        samples = run_closed(server.target, GET, users=3, seconds=0.1, timeout_s=0.5)
    assert samples.errors["timeout"] == len(samples) == 3


def test_load_stops_at_an_interrupt_in_the_middle_of_a_pause() -> None:
    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await writer.drain()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with serving(answer) as server, pytest.raises(KeyboardInterrupt):
        run_closed(server.target, GET, users=1, seconds=1000, think_s=1000)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("users", 0), ("users", 1.5), ("seconds", 0), ("seconds", -1), ("think_s", -1),
     ("think_s", []), ("think_s", "long"), ("think_s", [[1.0]]), ("timeout_s", 0),
     ("keep_header", "a b"), ("keep_header", "a\r\nb"), ("requests", []), ("requests", ["/"]),
     ("requests", lambda number: GET), ("target", "127.0.0.1:80")],
)  # fmt: skip
def test_argument_that_cannot_be_used_is_named(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {
        "target": Target("127.0.0.1", 9),
        "requests": GET,
        "users": 1,
        "seconds": 1.0,
    }
    with pytest.raises(LoadError, match=f"^{argument}: "):
        run_closed(**(arguments | {argument: value}))


def test_many_connections_are_opened_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's backlog is bounded: what does not fit is dropped and waits for a second try."""
    opening = most = 0
    connect = Pool._connect_ahead

    async def counted(pool: Pool) -> None:
        nonlocal opening, most
        opening += 1
        most = max(most, opening)
        await connect(pool)
        opening -= 1

    monkeypatch.setattr(Pool, "_connect_ahead", counted)
    monkeypatch.setattr(pool_module, "AHEAD_AT_ONCE", 8)
    with serving(ok) as server:
        samples = run_closed(server.target, GET, users=30, seconds=0.1)
    assert most == 8
    assert samples.connections_opened == server.connections == 30
