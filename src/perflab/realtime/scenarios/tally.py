"""Counts a WebSocket run: what was to come held against what came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from perflab.load.scenarios.figures import BIN_S, times_of
from perflab.realtime.scenarios.figures import ERROR_KINDS, SocketFigures, SocketSecond
from perflab.realtime.scenarios.outcome import SocketRun


def figures_of(run: SocketRun, *, settled_s: float = float("inf")) -> SocketFigures:
    """The figures of a run.

    Args:
        run: what it left.
        settled_s: messages that were due later may still be under way, and are not missed.
    """
    once, duplicates = _once(run)
    settled = run.accepted & (run.due_s <= settled_s)
    listeners = np.bincount(
        np.flatnonzero(run.opened) % run.scenario.channels, minlength=run.scenario.channels
    )
    expected = int(listeners[run.channel[settled]].sum())
    delivered = int(settled[run.message[once]].sum())
    failed = int((~run.accepted).sum()) - run.unanswered
    errors = dict(zip(ERROR_KINDS, (run.unopened, int(run.lost.sum()), failed), strict=True))
    latency_s = _latency_s(run)[once]
    return SocketFigures(
        connections=int((run.opened & (run.lost == 0)).sum()),
        opening_s=run.opening_s,
        published=int(run.accepted.sum()),
        expected=expected,
        delivered=len(latency_s),
        missing=expected - delivered,
        duplicates=duplicates,
        errors={kind: count for kind, count in errors.items() if count},
        attempts=int(run.opened.sum()) + run.unopened + len(run.due_s),
        published_per_s=int(run.accepted.sum()) / run.seconds if run.seconds else 0.0,
        deliveries_per_s=len(latency_s) / run.seconds if run.seconds else 0.0,
        latency=times_of(latency_s),
    )


def seconds_of(run: SocketRun) -> tuple[SocketSecond, ...]:
    """The run in bins of one second, from its start on."""
    once, _ = _once(run)
    latency_s, got_s = _latency_s(run)[once], run.got_s[once]
    of = run.due_s[run.message[once]]
    bins = []
    for at in range(int(np.ceil(max(run.seconds, got_s.max(initial=0.0)) / BIN_S - 1e-9))):
        here = (of // BIN_S).astype(int) == at
        times = times_of(latency_s[here])
        bins.append(
            SocketSecond(
                at_s=at * BIN_S,
                due=int(((run.due_s // BIN_S).astype(int) == at).sum()),
                delivered=int(((got_s // BIN_S).astype(int) == at).sum()),
                p50_ms=times.p50_ms,
                p95_ms=times.p95_ms,
            )
        )
    return tuple(bins)


def _once(run: SocketRun) -> tuple[NDArray[np.int64], int]:
    """The rows of first deliveries of messages that were taken, and how many came once more."""
    known = np.flatnonzero(run.accepted[run.message])
    pair = run.message[known] * len(run.opened) + run.connection[known]
    _, first = np.unique(pair, return_index=True)
    return np.sort(known[first]), len(known) - len(first)


def _latency_s(run: SocketRun) -> NDArray[np.float64]:
    return np.asarray(run.got_s - run.due_s[run.message])
