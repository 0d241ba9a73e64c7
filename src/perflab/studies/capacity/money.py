"""What the measured capacity costs a month, and what a month would cost without its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from perflab.capacity.cost import (
    Bill,
    Need,
    Pricing,
    Spread,
    bill_of,
    cheapest,
    saving,
    spread_of,
)
from perflab.capacity.queues import People
from perflab.measure.statistics import Interval, NotEstimable
from perflab.profiles import CapacitySizes
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.studies.api.parts import FULL, NO_CACHE
from perflab.studies.capacity.ladder import Rung, put_closed
from perflab.studies.capacity.opened import NEITHER, Stack

DAYS: Final = 365 / 12
"""Of a month."""
HEAD_BYTES: Final = 350.0
"""Of a response's status line and fields, about."""
NAMES: Final = {
    FULL: "indexes and cache",
    NO_CACHE: "indexes, no cache",
    NEITHER: "neither",
}
ARM_REPETITIONS: Final = 2


@dataclass(frozen=True)
class Basis:
    """What the money rests on; everything in it was measured."""

    core_rps: Interval
    """What a core holds within the promise."""
    relative: Mapping[str, float]
    """Throughput of each arm, of that with everything."""
    answer_bytes: float
    """Of one answer, head included, on average."""
    user_gb: float
    """In PostgreSQL, of one user, in 10⁹ bytes."""


def measure_arms(
    stack: Stack, users: int, sizes: CapacitySizes, step: Step | None = None
) -> dict[str, tuple[Rung, ...]]:
    """The same closed load on every arm, in turn."""
    found: dict[str, list[Rung]] = {name: [] for name in stack.arms}
    for number in range(ARM_REPETITIONS):
        for name, arm in stack.arms.items():
            if step:
                step(NAMES[name], number, ARM_REPETITIONS)
            found[name].append(put_closed(arm, users, sizes.step_s))
    return {name: tuple(rungs) for name, rungs in found.items()}


def basis_of(
    stack: Stack, arms: Mapping[str, tuple[Rung, ...]], core: Interval | NotEstimable
) -> Basis | NotRun:
    """What the money rests on; a NotRun where a core holds nothing."""
    if isinstance(core, NotEstimable):
        return NotRun("costs", core.reason)
    rps = {name: _rps(rungs) for name, rungs in arms.items()}
    if min(rps.values()) <= 0:
        return NotRun("costs", "one of the servers did not answer in time")
    bodies = np.concatenate([rung.reading.samples.body_bytes for rung in arms[FULL]])
    return Basis(
        core,
        {name: each / rps[FULL] for name, each in rps.items()},
        float(bodies.mean()) + HEAD_BYTES,
        stack.database_gb / stack.database_users,
    )


def _rps(rungs: Sequence[Rung]) -> float:
    return float(np.median([rung.rps_to_the_end for rung in rungs]))


def month(
    basis: Basis, people: People, pricing: Pricing, *, arm: str = FULL, lost: int = 1
) -> Bill:
    """A month for so many people, at the cheapest size of node, with so many nodes to lose."""
    load = spread_of(people.arrival_rps())
    core = spread_of(basis.core_rps).scaled(basis.relative[arm])
    requests = people.daily_users * people.sessions_per_user * people.session_s / people.think_s
    out_gb = requests * DAYS * basis.answer_bytes / 1e9
    need = Need(
        nodes=cheapest(load, core, pricing.node, lost=lost),
        out_gb=spread_of(out_gb),
        stored_gb=_spread_around(people.daily_users * basis.user_gb),
        users=people.daily_users,
    )
    return bill_of(need, pricing)


def _spread_around(gb: float) -> Spread:
    """Data grows: what it takes now, and twice that."""
    return Spread(gb, gb, 2 * gb)


def bill_frame(bill: Bill) -> pd.DataFrame:
    """One row an item, and the sums."""
    rows: list[dict[str, object]] = [
        {
            "item": line.item,
            "unit": line.unit,
            **_three("quantity", line.quantity),
            **_three("amount", line.amount),
        }
        for line in bill.lines
    ]
    nothing = dict.fromkeys(("quantity_low", "quantity_expected", "quantity_high"), np.nan)
    rows.append({"item": "a month", "unit": "", **nothing, **_three("amount", bill.total)})
    per_1000 = _three("amount", bill.per_1000_users)
    rows.append({"item": "per 1,000 daily users", "unit": "", **nothing, **per_1000})
    return pd.DataFrame(rows)


def savings_frame(basis: Basis, people: People, pricing: Pricing) -> pd.DataFrame:
    """One row an arm: what it holds, what it costs, and what everything together saves."""
    full = month(basis, people, pricing)
    rows = []
    for arm in (NEITHER, NO_CACHE, FULL):
        bill = month(basis, people, pricing, arm=arm)
        low, expected, high = saving(bill, full)
        rows.append(
            {
                "arm": NAMES[arm],
                "core_rps": basis.core_rps.lo * basis.relative[arm],
                "nodes": bill.lines[0].quantity.expected,
                "node": bill.lines[0].item.removeprefix("API nodes, "),
                **_three("amount", bill.total),
                "saves_low": low,
                "saves_expected": expected,
                "saves_high": high,
            }
        )
    return pd.DataFrame(rows)


def _three(name: str, spread: Spread) -> dict[str, float]:
    return {
        f"{name}_low": spread.low,
        f"{name}_expected": spread.expected,
        f"{name}_high": spread.high,
    }
