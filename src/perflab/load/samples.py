"""What a load leaves behind: a row a scheduled request, and whether the generator was the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

from perflab.load.errors import LoadError
from perflab.load.outcomes import ANSWERED, CONNECT, DROPPED, OUTCOMES

Floats = NDArray[np.float64]
Part = Literal["latency", "service", "lateness", "pacing", "queue"]

MOST_LATE_S: Final = 0.010
MOST_LATE_SHARE: Final = 0.10
NOT_NOTICED_S: Final = 0.001
"""Lateness up to here never voids a run. It is part of the latency, which is counted from the
schedule, so it can only make a server look slower, and by no more than this: a fiftieth of the
shortest average that the plan promises of an API, and less than a hop within a data centre."""
MOST_BUSY_SHARE: Final = 0.90


@dataclass(frozen=True, kw_only=True)
class LoadSamples:
    """Parallel columns of shape ``(n,)``, one row a scheduled request, in the order of taking up.

    Times are seconds since the start of the run; NaN where something did not happen. A request
    goes through scheduled, taken up by the generator, started (given a connection, which may
    have to be opened first) and ended (complete answer, or failure).
    """

    scheduled_s: Floats
    taken_s: Floats
    started_s: Floats
    ended_s: Floats
    status: NDArray[np.int16]
    """0 without a complete answer."""
    body_bytes: NDArray[np.int64]
    """Length of the response's body, without the coding of chunks."""
    outcome: NDArray[np.int8]
    """Positions in ``OUTCOMES``."""
    kept_header: tuple[bytes | None, ...] | None = None
    """The value of the field that was to be kept, None where the response had none."""
    bodies: tuple[bytes | None, ...] | None = None
    """The bodies, where they were to be kept."""
    kind: Literal["open", "closed"]
    window_s: float
    """How long requests were scheduled: to the last arrival of an open load, or as asked."""
    busy_share: float
    """The share of that time in which the generator neither spun nor slept."""
    began_unix_s: float
    """The start of the run by the wall clock."""
    resent: int = 0
    """Requests sent a second time, since the server closed the idle connection meanwhile."""
    connections_opened: int = 0
    """Connections opened, those in advance included."""

    def __len__(self) -> int:
        return len(self.scheduled_s)

    @property
    def latency_s(self) -> Floats:
        """From the *scheduled* start to the end: what a user waits (wrk2, coordinated omission)."""
        return self.ended_s - self.scheduled_s

    @property
    def service_s(self) -> Floats:
        """From the actual start to the end: what one request takes."""
        return self.ended_s - self.started_s

    @property
    def lateness_s(self) -> Floats:
        """From the scheduled to the actual start: latency minus service time; pacing and queue."""
        return self.started_s - self.scheduled_s

    @property
    def pacing_s(self) -> Floats:
        """From the scheduled start to the taking up: the generator's own part of the lateness."""
        return self.taken_s - self.scheduled_s

    @property
    def queue_s(self) -> Floats:
        """From the taking up to the actual start: waiting for a free connection."""
        return self.started_s - self.taken_s

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which rows have a complete response, of any status."""
        return np.asarray(self.outcome == ANSWERED)

    @property
    def scheduled(self) -> int:
        """Rows: answered, failed and dropped ones together."""
        return len(self)

    @property
    def dropped(self) -> int:
        """Requests that were never sent, since no connection got free in time."""
        return int(np.count_nonzero(self.outcome == DROPPED))

    @property
    def errors(self) -> dict[str, int]:
        """Requests without a complete answer by kind: connect, timeout, reset, protocol."""
        return {
            name: int(np.count_nonzero(self.outcome == code))
            for code, name in enumerate(OUTCOMES)
            if CONNECT <= code < DROPPED
        }

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers had each status."""
        codes, counts = np.unique(self.status[self.answered], return_counts=True)
        return dict(zip(codes.tolist(), counts.tolist(), strict=True))

    @property
    def throughput_per_s(self) -> float:
        """Answers a second: those of the window of a closed load; all of an open one, up to its
        last end."""
        ended = self.ended_s[self.answered]
        if not len(ended):
            return 0.0
        if self.kind == "closed":
            return int(np.count_nonzero(ended <= self.window_s)) / self.window_s
        return len(ended) / max(float(ended.max()), self.window_s)

    def percentiles_s(self, quantiles: Sequence[float], of: Part = "latency") -> Floats:
        """Exact percentiles in seconds: for q the smallest value that at least q*n do not exceed.

        Latency and service time of answered requests; the other parts of all that have them.
        NaN if there are none. A LoadError if a quantile is outside [0, 1].
        """
        asked = np.asarray(quantiles, dtype=np.float64)
        if not np.all((asked >= 0) & (asked <= 1)):
            raise LoadError(f"quantiles: must be from 0 to 1, not {list(quantiles)}")
        values: Floats = getattr(self, f"{of}_s")
        if of in ("latency", "service"):
            values = values[self.answered]
        values = np.sort(values[~np.isnan(values)])
        if not len(values):
            return np.full(asked.shape, np.nan)
        ranks = np.ceil(asked * len(values) - 1e-9)  # forgives the rounding of q*n
        return np.asarray(values[np.maximum(ranks, 1).astype(np.int64) - 1])

    @property
    def void_reason(self) -> str:
        """Why the figures say nothing about the server; empty where they do.

        The generator was the limit if the 99th percentile of its own lateness (``pacing_s``) is
        above 10 ms, or above both a tenth of the median latency and 1 ms (``NOT_NOTICED_S``), or
        if it was busy for more than 90 % of the time. Waiting for a free connection is not held
        against it: that is the server's doing, and part of the latency.
        """
        if not len(self):
            return ""
        if self.busy_share > MOST_BUSY_SHARE:
            return (
                f"the generator was busy for {self.busy_share:.0%} of the time "
                f"(at most {MOST_BUSY_SHARE:.0%}): lower the rate or add generators"
            )
        late = float(self.percentiles_s([0.99], "pacing")[0])
        median = float(self.percentiles_s([0.5])[0])
        most = MOST_LATE_S
        if median == median:
            most = min(most, max(NOT_NOTICED_S, MOST_LATE_SHARE * median))
        if late > most:
            return (
                f"the generator took 1 % of the requests up more than {late * 1e3:.3g} ms late "
                f"(at most {most * 1e3:.3g} ms): give it a core of its own or lower the rate"
            )
        return ""

    @property
    def saturated(self) -> bool:
        """Whether the generator was the limit; ``void_reason`` says how."""
        return bool(self.void_reason)

    def select(self, keep: NDArray[np.bool_]) -> LoadSamples:
        """The rows where ``keep`` (shape ``(n,)``) is true, e.g. all after a warm-up."""
        if keep.shape != self.outcome.shape or keep.dtype != np.bool_:
            raise LoadError(f"keep: must be {len(self)} booleans, not {keep.dtype}{keep.shape}")

        def texts(values: tuple[bytes | None, ...] | None) -> tuple[bytes | None, ...] | None:
            return values and tuple(values[row] for row in np.flatnonzero(keep))

        return replace(
            self,
            scheduled_s=self.scheduled_s[keep],
            taken_s=self.taken_s[keep],
            started_s=self.started_s[keep],
            ended_s=self.ended_s[keep],
            status=self.status[keep],
            body_bytes=self.body_bytes[keep],
            outcome=self.outcome[keep],
            kept_header=texts(self.kept_header),
            bodies=texts(self.bodies),
        )

    def frame(self) -> pd.DataFrame:
        """One row a request: times, outcome by name, status, bytes and the kept header."""
        import pandas as pd  # slow to import, and a generator's process does without

        columns: dict[str, Any] = {
            "scheduled_s": self.scheduled_s,
            "started_s": self.started_s,
            "ended_s": self.ended_s,
            "latency_s": self.latency_s,
            "service_s": self.service_s,
            "lateness_s": self.lateness_s,
            "pacing_s": self.pacing_s,
            "queue_s": self.queue_s,
            "outcome": pd.Categorical.from_codes(self.outcome, pd.Index(OUTCOMES)),
            "status": self.status,
            "body_bytes": self.body_bytes,
        }
        if self.kept_header is not None:
            columns["kept_header"] = [
                None if value is None else value.decode("latin-1") for value in self.kept_header
            ]
        return pd.DataFrame(columns)
