"""Purges are repeated, none is forgotten, and what waits is bounded."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.edge.repeats import SLOT_S, Repeats
from perflab.cache.edge.wanted import Wanted

from .stand_ins import monotonic, run


def urls(*names: str) -> Wanted:
    return Wanted(urls=frozenset(names))


class Log:
    """What was repeated, and when."""

    def __init__(self) -> None:
        self.entries: list[tuple[float, Wanted]] = []
        self.errors = 0

    async def __call__(self, wanted: Wanted) -> None:
        if self.errors:
            self.errors -= 1
            raise OSError("no disk")
        self.entries.append((monotonic(), wanted))

    def times_of(self, name: str) -> list[float]:
        return [at for at, wanted in self.entries if name in wanted.urls or wanted.everything]


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=20),
    st.lists(st.floats(0.01, 20), min_size=1, max_size=3),
    st.integers(1, 50),
)
def test_every_purge_is_repeated_after_every_delay(
    gaps: list[float], delays: list[float], most: int
) -> None:
    async def scenario() -> None:
        log = Log()
        repeats = Repeats(log, delays, most)
        made = []
        for number, gap in enumerate(gaps):
            await asyncio.sleep(gap)
            made.append(monotonic())
            repeats.add(urls(f"u{number}"))
        await repeats.settled()
        assert len(repeats) == 0
        for number, at in enumerate(made):
            times = log.times_of(f"u{number}")
            for delay in delays:
                assert any(at + delay <= t <= at + delay + SLOT_S + 1e-6 for t in times)

    run(scenario)


def test_purges_at_once_are_repeated_together() -> None:
    async def scenario() -> None:
        log = Log()
        repeats = Repeats(log, [5.0])
        for number in range(1_000):
            repeats.add(urls(f"u{number}"))
        assert len(repeats) == 1
        await repeats.settled()
        assert [len(wanted) for _, wanted in log.entries] == [1_000]

    run(scenario)


def test_too_many_names_become_everything() -> None:
    async def scenario() -> None:
        log = Log()
        repeats = Repeats(log, [5.0], most_names=10)
        for number in range(11):
            repeats.add(urls(f"u{number}"))
        repeats.add(urls("one more"))
        await repeats.settled()
        assert [wanted for _, wanted in log.entries] == [Wanted(everything=True)]

    run(scenario)


def test_failure_is_counted_and_does_not_stop_the_next() -> None:
    async def scenario() -> None:
        log = Log()
        log.errors = 1
        repeats = Repeats(log, [1.0, 5.0])
        repeats.add(urls("a"))
        await repeats.settled()
        assert (repeats.failed, repeats.done) == (1, 1)
        assert len(log.times_of("a")) == 1

    run(scenario)


def test_close_cancels_what_waits_and_says_how_much() -> None:
    async def scenario() -> None:
        log = Log()
        repeats = Repeats(log, [1.0, 5.0])
        repeats.add(urls("a"))
        await asyncio.sleep(2)
        await repeats.close()
        await repeats.close()
        repeats.add(urls("b"))
        await asyncio.sleep(10)
        assert len(log.entries) == 1
        assert (repeats.dropped, len(repeats)) == (1, 0)

    run(scenario)
