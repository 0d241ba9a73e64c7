"""What a run of a WebSocket scenario leaves behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from perflab.load.scenarios.outcome import Ended
from perflab.realtime.scenarios.scenario import SocketScenario

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SocketRun:
    """Three tables as parallel columns: connections, messages and deliveries.

    Times are seconds from when the first message could be due, NaN where something did not happen.
    """

    scenario: SocketScenario
    opened: NDArray[np.bool_]
    """Of each connection: whether it was ever subscribed."""
    unopened: int
    """Connections that could not be had."""
    opening_s: float
    """Until all were subscribed, or could not be."""
    lost: Numbers
    """Of each connection: how often it was lost while messages were sent."""
    due_s: Floats
    """Of each message that was due so far."""
    late_s: Floats
    """Of each message: how late it was handed to a connection, the run's own fault."""
    channel: Numbers
    """Of each message."""
    accepted: NDArray[np.bool_]
    """Of each message: whether a hub took it."""
    unanswered: int
    """Messages whose fate was not known at the end."""
    message: Numbers
    """Of each delivery: which message came."""
    connection: Numbers
    """Of each delivery: where."""
    got_s: Floats
    """Of each delivery: when."""
    ended: Ended
    reason: str
    """Why it was aborted."""
    seconds: float
    """How long messages were sent: the scenario's duration, or less."""
    busy_share: float
    """Of the run's own core."""
    began_unix_s: float


@dataclass(frozen=True)
class SocketProgress:
    """How a run stands."""

    elapsed_s: float
    seconds: float
    open: int
    """Connections that are subscribed now."""
    rate_per_s: float
    """Deliveries a second, over the last few seconds."""
    p95_ms: float
    """Of their latency."""
    errors: int
