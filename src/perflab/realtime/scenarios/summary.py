"""What a WebSocket run came to, as a document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np

from perflab.load.request import shown
from perflab.load.samples import MOST_BUSY_SHARE, MOST_LATE_S
from perflab.load.scenarios.summary import Generator, RunSummary, Threshold
from perflab.realtime.messages import Lane
from perflab.realtime.scenarios.figures import SocketFigures, SocketSecond
from perflab.realtime.scenarios.outcome import SocketRun
from perflab.realtime.scenarios.tally import figures_of, seconds_of

_LATE: Final = 0.99


class SocketSummary(RunSummary, frozen=True, kw_only=True):
    """A WebSocket run as it is written to a file."""

    connections: int
    """As many as were asked for."""
    channels: int
    lane: Lane
    message_bytes: int
    total: SocketFigures
    over_time: tuple[SocketSecond, ...]


def summarise_sockets(run: SocketRun) -> SocketSummary:
    """The figures of a run, and its thresholds judged."""
    scenario, total = run.scenario, figures_of(run)
    late_s = float(np.quantile(run.late_s, _LATE)) if len(run.late_s) else float("nan")
    return SocketSummary(
        title=scenario.title,
        scenario=scenario.path.name,
        target=", ".join(map(shown, scenario.endpoints)),
        began=datetime.fromtimestamp(run.began_unix_s, UTC).isoformat(timespec="seconds"),
        seed=scenario.seed,
        duration_s=scenario.duration_s,
        ended=run.ended,
        reason=run.reason,
        seconds=run.seconds,
        thresholds=tuple(Threshold.judged(one, total) for one in scenario.thresholds),
        generator=Generator(
            busy_share=run.busy_share,
            late_p99_ms=late_s * 1e3,
            void_reason=_void_reason(run.busy_share, late_s),
        ),
        connections=scenario.connections,
        channels=scenario.channels,
        lane=scenario.lane,
        message_bytes=scenario.message_bytes,
        total=total,
        # where no message was due, the connections are what was asked for
        answered=total.published > 0 or (total.connections > 0 and "publish" not in total.errors),
        over_time=seconds_of(run),
    )


def _void_reason(busy_share: float, late_s: float) -> str:
    if busy_share > MOST_BUSY_SHARE:
        return (
            f"the clients were busy for {busy_share:.0%} of the time, more than"
            f" {MOST_BUSY_SHARE:.0%}: what they saw late may have come in time"
        )
    if late_s > MOST_LATE_S:
        return (
            f"1 % of the messages left {late_s * 1e3:.1f} ms late or later, more than"
            f" {MOST_LATE_S * 1e3:g} ms: the delay is the clients' own"
        )
    return ""
