"""Open loads: one row a due time, latency from the schedule, nothing silently skipped."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httptools
import numpy as np
import pytest

from perflab.load import Request, arrivals, run_open
from perflab.load.connection import Field

from .server import OK, Asked, never, ok, serving

GET = Request("GET", "/")


def test_every_due_time_gets_one_request_and_one_row() -> None:
    requests = [Request("GET", f"/{number}") for number in range(40)]
    with serving(ok) as server:
        samples = run_open(server.target, requests, arrivals.constant(400, count=40))
    assert [asked.target for asked in server.asked] == [f"/{n}" for n in range(40)]
    assert len(samples) == samples.scheduled == 40
    assert samples.statuses == {200: 40}
    assert set(samples.body_bytes) == {2}
    assert samples.dropped == 0
    assert sum(samples.errors.values()) == 0
    np.testing.assert_allclose(samples.scheduled_s, np.arange(40) / 400, atol=1e-9)


def test_times_follow_each_other_and_latency_is_lateness_and_service() -> None:
    with serving(ok) as server:
        samples = run_open(server.target, GET, arrivals.poisson(500, seed=3, count=50))
    assert (samples.scheduled_s <= samples.taken_s).all()
    assert (samples.taken_s <= samples.started_s).all()
    assert (samples.started_s < samples.ended_s).all()
    np.testing.assert_allclose(samples.latency_s, samples.lateness_s + samples.service_s)


def test_requests_may_come_from_a_function_of_the_position() -> None:
    with serving(ok) as server:
        run_open(server.target, lambda position: Request("GET", f"/{position}"), [0.0, 0.01, 0.02])
    assert [asked.target for asked in server.asked] == ["/0", "/1", "/2"]


def test_kept_header_stands_beside_its_sample() -> None:
    fields = {
        "/hit": b"cache-status: edge; hit\r\n",
        "/two": b"CACHE-Status:a\r\nX: y\r\nCache-Status:  b \r\n",
        "/none": b"X-Cache-Status: no\r\nX: Cache-Status: no\r\n",
    }

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        body = b"\r\nCache-Status: body\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + fields[asked.target])
        writer.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    targets = ["/hit", "/two", "/none", "/hit"]
    requests = [Request("GET", target) for target in targets]
    with serving(answer) as server:
        samples = run_open(
            server.target, requests, [0, 0.01, 0.02, 0.03], keep_header="Cache-Status"
        )
    assert samples.kept_header == (b"edge; hit", b"a, b", None, b"edge; hit")
    assert samples.frame()["kept_header"].tolist()[0] == "edge; hit"


def test_bodies_are_kept_on_request() -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        body = asked.target.encode() * 3
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    requests = [Request("GET", "/a"), Request("GET", "/bc")]
    with serving(answer) as server:
        samples = run_open(server.target, requests, [0, 0.01], keep_body=True)
    assert samples.bodies == (b"/a/a/a", b"/bc/bc/bc")
    assert samples.body_bytes.tolist() == [6, 9]


@pytest.mark.serial
def test_stall_shows_in_the_latency_of_all_that_was_due_meanwhile() -> None:
    """Coordinated omission: service time sees the few requests that were out, latency all."""
    rate, stall_s = 200, 1.0
    stalled_until = 0.0

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal stalled_until
        if len(server.asked) == 50:
            stalled_until = time.monotonic() + stall_s
        while (left := stalled_until - time.monotonic()) > 0:
            await asyncio.sleep(left)
        writer.write(OK)

    with serving(answer) as server:
        samples = run_open(server.target, GET, arrivals.constant(rate, seconds=2.0), connections=8)
    assert samples.answered.all()
    waited = int((samples.latency_s > stall_s / 2).sum())
    assert 0.6 * rate * stall_s / 2 < waited < 1.8 * rate * stall_s / 2
    assert int((samples.service_s > stall_s / 2).sum()) <= 8


def test_connections_stay_within_their_bound() -> None:
    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(OK)

    with serving(answer) as server:
        samples = run_open(server.target, GET, np.zeros(30), connections=3)
    assert samples.answered.all()
    assert server.most_open == server.connections == 3
    assert len({asked.connection for asked in server.asked}) == 3


def test_connections_take_turns() -> None:
    with serving(ok) as server:
        run_open(server.target, GET, arrivals.constant(200, count=12), connections=4)
    sent = [asked.connection for asked in server.asked]
    assert sorted(sent[:4]) == [0, 1, 2, 3]
    assert sent[4:8] == sent[8:] == sent[:4]


def test_defect_of_the_generator_ends_the_run_instead_of_counting_as_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: Field, __: bytes) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(Field, "value", broken)
    with serving(ok) as server, pytest.raises(httptools.HttpParserCallbackError) as caught:
        run_open(server.target, GET, [0.0, 1000.0], keep_header="x")
    assert isinstance(caught.value.__context__, ZeroDivisionError)


def test_what_finds_neither_connection_nor_room_to_wait_is_dropped_and_counted() -> None:
    with serving(ok) as server:
        samples = run_open(server.target, GET, np.zeros(10), connections=1, waiting=2)
    assert samples.dropped == 7
    assert samples.answered.tolist() == [True] * 3 + [False] * 7
    assert np.isnan(samples.latency_s[3:]).all()
    assert len(server.asked) == 3


def test_what_has_waited_too_long_is_dropped() -> None:
    with serving(never) as server:
        samples = run_open(server.target, GET, np.zeros(4), connections=1, timeout_s=0.2)
    assert samples.errors["timeout"] + samples.dropped == 4
    assert samples.errors["timeout"] >= 1
    assert samples.dropped >= 1
    assert float(np.nanmax(samples.ended_s)) < 10


def test_load_runs_in_a_cell_whose_own_loop_is_running() -> None:
    async def cell() -> int:
        return len(run_open(server.target, GET, [0.0]))

    with serving(ok) as server:
        assert asyncio.run(cell()) == 1


def test_interrupt_stops_the_load_and_leaves_no_thread() -> None:
    async def answer(_: Asked, __: asyncio.StreamWriter) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.Event().wait()

    with serving(answer) as server, pytest.raises(KeyboardInterrupt):
        run_open(server.target, GET, [0.0, 1000.0], timeout_s=1000)
    assert not [one for one in threading.enumerate() if one.name == "perflab-load"]


def test_loads_at_the_same_time_leave_the_interpreter_as_it_was() -> None:
    before = sys.getswitchinterval()
    during = []

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        during.append(sys.getswitchinterval())
        writer.write(OK)

    with serving(answer) as server, ThreadPoolExecutor(2) as threads:
        lengths = [0.3, 0.1]  # the first to begin is the last to end
        runs = [
            threads.submit(run_open, server.target, Request("GET", "/"), [0.0, seconds])
            for seconds in lengths
        ]
        assert all(run.result().answered.all() for run in runs)
    assert max(during) < before
    assert sys.getswitchinterval() == before
