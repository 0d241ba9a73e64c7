"""Redis goes away under load: what each policy's ``on_outage`` does, and when all is well again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import pandas as pd

from perflab.ratelimit import Decision, Policy, RateLimiter
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.limits.lapse import someone
from perflab.studies.loops import in_own_loop
from perflab.studies.outages import NoProxy, Strike, outage_for
from perflab.studies.prefixes import own_prefix

LIMIT_RPS: Final = 20
ASKED_RPS: Final = 60
BURST: Final = 2
"""Small, so that the rate is what one sees from the first second on."""
BEFORE_S: Final = 0.8
AWAY_S: Final = 1.2
AFTER_S: Final = 2.2
"""How long requests go on after Redis is back: the limiter looks once a second."""
RECOVERY_S: Final = 5.0
"""What the limiter promises."""
BUDGET_S: Final = 0.1

CLOSED: Final = "closed"
OPEN: Final = "open"
LOCAL: Final = "local, one process"
LOCAL_TWICE: Final = "local, two processes"
MODES: Final = (CLOSED, OPEN, LOCAL, LOCAL_TWICE)

POLICIES: Final = tuple(
    Policy(name=mode, limit=LIMIT_RPS, period_s=1.0, burst=BURST, on_outage=mode)
    for mode in ("closed", "open", "local")
)
_BIN_S: Final = 0.2


@dataclass(frozen=True)
class LimiterOutage:
    """What clients of each failure mode saw of one outage."""

    cause: str
    checks: pd.DataFrame
    """One row a check: mode, at_s, ms, answer (one of ANSWERS), by_redis."""
    away: tuple[float, float]
    failed: int
    """Checks that raised something."""
    recovered_s: float | None
    """From when Redis was back until it decided for every mode; None: not within the run."""

    def rates(self) -> pd.DataFrame:
        """Requests that passed in each fifth of a second: mode, at_s, per_s."""
        checks = self.checks
        whole = int(checks["at_s"].max() / _BIN_S)  # the last one is not whole
        passed = checks[checks["answer"] == PASSED]
        counts = (
            passed.groupby([passed["mode"], (passed["at_s"] / _BIN_S).astype(int)])
            .size()
            .reindex(pd.MultiIndex.from_product([MODES, range(whole)]), fill_value=0)
        )
        return pd.DataFrame(
            {
                "mode": counts.index.get_level_values(0),
                "at_s": counts.index.get_level_values(1) * _BIN_S,
                "per_s": counts.to_numpy() / _BIN_S,
            }
        )

    def frame(self) -> pd.DataFrame:
        """One row a mode: rates before, meanwhile and after, and how requests were refused."""
        start, end = self.away
        rows = []
        for mode in MODES:
            own = self.checks[self.checks["mode"] == mode]
            before = own[own["at_s"] < start]
            away = own[own["at_s"].between(start, end) & ~own["by_redis"]]
            after = own[(own["at_s"] > end) & own["by_redis"]]
            rows.append(
                {
                    "mode": mode,
                    "before_per_s": _per_s(before),
                    "away_per_s": _per_s(away),
                    "away_429": int((away["answer"] == DENIED).sum()),
                    "away_503": int((away["answer"] == UNAVAILABLE).sum()),
                    "after_per_s": _per_s(after),
                    "again_s": float(after["at_s"].min() - end) if len(after) else None,
                    "slowest_ms": float(own["ms"].max()),
                }
            )
        return pd.DataFrame(rows)


PASSED: Final = "passed"
DENIED: Final = "429"
UNAVAILABLE: Final = "503"
ANSWERS: Final = (PASSED, DENIED, UNAVAILABLE)


def survive_outage(redis: Redis) -> LimiterOutage | NotRun:
    """One client a failure mode asks three times as often as it may, while Redis goes and comes.

    The lab's own server is killed and started again, empty; any other is cut off by a proxy. The
    last client's requests are spread over two limiters, as over two processes. Returns what
    ``outage_table`` and ``outage_plot`` show; real time, about four seconds.
    """
    try:
        with outage_for(redis, AWAY_S) as outage:
            return in_own_loop(_survive(redis, outage))
    except NoProxy as why:
        return NotRun("an outage of the limiter's Redis", str(why))


async def _survive(redis: Redis, outage: Strike) -> LimiterOutage:
    prefix = own_prefix(redis, "limits")
    checks: list[tuple[str, float, float, str, bool]] = []
    failed = 0
    over = asyncio.Event()
    async with (
        RateLimiter(outage.url, POLICIES, prefix=prefix, budget_s=BUDGET_S) as one,
        RateLimiter(outage.url, POLICIES, prefix=prefix, budget_s=BUDGET_S) as two,
    ):
        await one.ping()
        await two.ping()
        started = time.perf_counter()

        async def client(mode: str) -> None:
            nonlocal failed
            subject, policy = someone(), mode.partition(",")[0]
            limiters = cycle((one, two) if mode == LOCAL_TWICE else (one,))
            due = started
            while not over.is_set():
                sent = time.perf_counter()
                try:
                    decision = await next(limiters).check(policy, subject)
                except Exception:  # noqa: BLE001 - whatever it is, the caller has no decision
                    failed += 1
                else:
                    ms = 1_000 * (time.perf_counter() - sent)
                    checks.append((mode, sent - started, ms, _answer(decision), _known(decision)))
                due += 1 / ASKED_RPS
                await asyncio.sleep(max(0.0, due - time.perf_counter()))

        clients = [asyncio.create_task(client(mode)) for mode in MODES]
        await asyncio.sleep(BEFORE_S)
        start = time.perf_counter() - started
        await asyncio.to_thread(outage.strike)
        end = time.perf_counter() - started
        await asyncio.sleep(AFTER_S)
        over.set()
        await asyncio.gather(*clients)
    frame = pd.DataFrame(checks, columns=["mode", "at_s", "ms", "answer", "by_redis"])
    return LimiterOutage(outage.cause, frame, (start, end), failed, _recovered_s(frame, end))


def _answer(decision: Decision) -> str:
    if decision.allowed:
        return PASSED
    return UNAVAILABLE if decision.unavailable else DENIED


def _known(decision: Decision) -> bool:
    """Whether Redis said so, now or a moment ago."""
    return decision.quotas[0].source in ("redis", "memory")


def _recovered_s(checks: pd.DataFrame, back_s: float) -> float | None:
    again = checks[checks["by_redis"] & (checks["at_s"] >= back_s)].groupby("mode")["at_s"].min()
    return float(again.max() - back_s) if len(again) == len(MODES) else None


def _per_s(checks: pd.DataFrame) -> float | None:
    """Requests passed a second, from the first check to the last."""
    seconds = float(checks["at_s"].max() - checks["at_s"].min()) if len(checks) else 0.0
    return float((checks["answer"] == PASSED).sum()) / seconds if seconds else None
