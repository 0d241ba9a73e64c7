"""A load's figures while it runs: each request once, whoever asks and however often."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from perflab.load import LiveFigures, LoadError, Request, arrivals, run_open

from .server import OK, Asked, never, ok, serving

GET = Request("GET", "/")


def test_counts_end_where_the_samples_do_and_no_request_counts_twice() -> None:
    live = LiveFigures()
    seen: list[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            seen.append(sum(live.stats().outcomes.values()))

    async def slow_now_and_then(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.target.endswith("7"):
            await asyncio.sleep(0.1)  # later ones overtake it
        writer.write(OK)

    requests = [Request("GET", f"/{number}") for number in range(200)]
    with serving(slow_now_and_then) as server, ThreadPoolExecutor(1) as thread:
        watching = thread.submit(watch)
        first = run_open(server.target, requests, arrivals.constant(500, count=200), live=live)
        second = run_open(server.target, GET, arrivals.constant(500, count=50), live=live)
        over.set()
        watching.result()
    stats = live.stats()
    assert live.stats() == stats
    assert stats.requests == stats.outcomes["answered"] == stats.answers["2xx"] == 250
    assert sum(stats.outcomes.values()) == 250
    assert stats.in_flight == 0
    assert stats.connections_opened == first.connections_opened + second.connections_opened
    assert seen == sorted(seen)
    latency = np.concatenate([first.latency_s, second.latency_s])
    below, bounds = np.cumsum(stats.latency_s.counts), stats.latency_s.bounds
    assert below[:-1].tolist() == [(latency <= bound).sum() for bound in bounds]
    assert stats.latency_s.sum == pytest.approx(latency.sum())
    assert sum(stats.late_s.counts) == 250


def test_what_is_dropped_or_fails_is_told_apart() -> None:
    live = LiveFigures()
    with serving(never) as server:
        run_open(server.target, GET, [0.0] * 3, connections=1, waiting=1, timeout_s=0.2, live=live)
    outcomes = live.stats().outcomes
    assert outcomes["dropped"] >= 1
    assert outcomes["timeout"] >= 1
    assert sum(outcomes.values()) == 3
    assert sum(live.stats().latency_s.counts) == 0


def test_a_load_elsewhere_cannot_be_watched() -> None:
    with serving(ok) as server, pytest.raises(LoadError, match="live: "):
        run_open(server.target, GET, [0.0], own_process=True, live=LiveFigures())
