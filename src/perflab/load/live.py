"""The figures of a load while it runs, read from its own record by whoever asks.

Nothing is added to the path of a request: rows that have an outcome are counted when somebody
looks, each of them once.
"""

from __future__ import annotations

import threading
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from perflab.histogram import LATENCY_S, Buckets
from perflab.load.outcomes import ANSWERED, DROPPED, OUTCOMES, PENDING
from perflab.load.pool import Pool
from perflab.load.recorder import Recorder

LATE_S: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
"""Bounds for the generator's own lateness, in seconds."""


class GeneratorStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a load since it began."""

    requests: int
    """Requests taken up."""
    outcomes: dict[str, int]
    """Requests by what became of them."""
    answers: dict[str, int]
    """Complete answers, by the first digit of their status, such as 2xx."""
    latency_s: Buckets
    """From when a request was due to the end of its answer."""
    late_s: Buckets
    """From when a request was due to when the generator took it up: its own fault."""
    in_flight: int
    """Requests taken up whose outcome is open, waiting ones included."""
    connections_opened: int


class LiveFigures:
    """Counts along with a load; all zero until one is attached.

    ``stats`` may be called from other threads than the load's. One load after another may be
    attached: the counts go on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recorder: Recorder | None = None
        self._pool: Pool | None = None
        self._first = 0
        self._seen = np.zeros(0, dtype=np.bool_)
        self._requests = self._opened = 0
        self._outcomes = np.zeros(len(OUTCOMES), dtype=np.int64)
        self._answers = np.zeros(6, dtype=np.int64)
        self._latency = _Counted(LATENCY_S)
        self._late = _Counted(LATE_S)

    def attach(self, recorder: Recorder, pool: Pool) -> None:
        """Follow a load from its beginning."""
        with self._lock:
            self._look()
            if self._pool is not None:
                self._opened += self._pool.opened
            if self._recorder is not None:
                self._requests += self._recorder.rows
            self._recorder, self._pool = recorder, pool
            self._first, self._seen = 0, np.zeros(0, dtype=np.bool_)

    def stats(self) -> GeneratorStats:
        """The figures so far."""
        with self._lock:
            self._look()
            recorder, pool = self._recorder, self._pool
            return GeneratorStats(
                requests=self._requests + (recorder.rows if recorder is not None else 0),
                outcomes=dict(zip(OUTCOMES, self._outcomes.tolist(), strict=True)),
                answers={f"{digit}xx": int(self._answers[digit]) for digit in range(1, 6)},
                latency_s=self._latency.snapshot(),
                late_s=self._late.snapshot(),
                in_flight=pool.unfinished if pool is not None else 0,
                connections_opened=self._opened + (pool.opened if pool is not None else 0),
            )

    def _look(self) -> None:
        """Count the rows whose outcome has come since the last look."""
        recorder = self._recorder
        if recorder is None:
            return
        rows = slice(self._first, recorder.rows)
        # slices are copies: the load may make its columns grow meanwhile
        outcome = np.array(recorder.outcome[rows], dtype=np.int8)
        seen = np.zeros(len(outcome), dtype=np.bool_)
        seen[: len(self._seen)] = self._seen
        new = (outcome != PENDING) & ~seen
        scheduled = np.array(recorder.scheduled[rows])
        answered = new & (outcome == ANSWERED)
        status = np.array(recorder.status[rows])[answered]
        self._outcomes += np.bincount(outcome[new], minlength=len(OUTCOMES))
        self._answers += np.bincount(np.clip(status // 100, 0, 5), minlength=6)
        self._latency.add((np.array(recorder.ended[rows]) - scheduled)[answered])
        late = new & (outcome != DROPPED)
        self._late.add((np.array(recorder.taken[rows]) - scheduled)[late])
        seen |= new
        # what lies before the oldest open request is done with
        settled = len(seen) if seen.all() else int(np.argmin(seen))
        self._first += settled
        self._seen = seen[settled:]


class _Counted:
    """A histogram that takes many values at once."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = np.zeros(len(bounds) + 1, dtype=np.int64)
        self._sum = 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        values = np.maximum(values, 0.0)
        places = np.searchsorted(self._bounds, values, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    def snapshot(self) -> Buckets:
        return Buckets(self._bounds, tuple(self._counts.tolist()), self._sum)
