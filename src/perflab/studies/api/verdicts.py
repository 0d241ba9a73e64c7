"""The API's claims judged: which measurement each claim's id means."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Final

import pandas as pd

from perflab.measure.claims import Claims
from perflab.measure.results import Origin, Result, from_comparison, from_estimate
from perflab.measure.statistics import Estimate, Interval, NotEstimable, exact
from perflab.studies.api.ceiling import CONNECTIONS
from perflab.studies.api.contrasts import Contrast
from perflab.studies.api.loads import Load
from perflab.studies.api.parts import FIRST_VISITS
from perflab.studies.api.promises import Counts
from perflab.studies.api.rows import Row
from perflab.studies.api.search import Bracket
from perflab.studies.api.throughput import PAGES, TARGET_RPS, Throughput
from perflab.studies.promised import judged_frame
from perflab.studies.targets import Judged, judged, target

NOTEBOOK: Final = "04_api"
PLAN_TABLE: Final = "API Performance Benchmarks"
P99_MS: Final = 25.0


def judge_rows(
    claims: Claims, rows: Sequence[Row], origin: Origin, warnings: Sequence[str] = ()
) -> list[Result]:
    """The plan's table: the average at its rate, and the rate at which the average still holds.

    A row that the generator spoilt is void.
    """
    judged = []
    for row in rows:
        told = list(warnings)
        if row.refused:
            told.append(
                f"{row.refused} of {row.n} requests had no good answer; each counts as the"
                " 5 s after which a client gives up"
            )
        latency, rps = f"api.{row.traffic.name}.latency", f"api.{row.traffic.name}.rps"
        if latency in claims:
            judged.append(
                from_estimate(
                    origin,
                    row.mean,
                    n=row.n,
                    blocks=len(row.loads),
                    claim=claims.get(latency),
                    saturated=bool(row.void),
                    warnings=told,
                )
            )
        if rps in claims:
            judged.append(
                from_estimate(
                    origin,
                    capacity(row.by_mean),
                    n=len(row.searched),
                    claim=claims.get(rps),
                    saturated=_unknown(row, claims.get(rps).target),
                    warnings=[*told, _SEARCHED],
                )
            )
    return judged


_SEARCHED: Final = (
    "the interval is the bracket of a search: the average kept the promise at its lower end and"
    " did not at its upper end"
)


def _unknown(row: Row, target: float) -> bool:
    """Whether the generator kept the search from telling about the target.

    It was the limit at the promised rate, or it ended the search below the target.
    """
    found = row.by_mean
    ended = found.failed.void if found.failed else ""
    return found.lower < target and bool(ended or row.void)


def capacity(found: Bracket[Load]) -> Estimate:
    """The rate that held, up to the one that did not; not estimable where only one is known."""
    if found.failed is None:
        return exact(found.lower)  # at least: the search ended at its own upper bound
    if found.failed.void and found.held is None:
        return NotEstimable("the generator was the limit before the server was")
    # it failed at the upper end, so what can be had is less
    upper = found.lower if found.failed.void else math.nextafter(found.upper, 0)
    return Interval(found.lower, found.lower, upper)


def judge_throughput(found: Throughput) -> list[Judged]:
    """The lab's own targets, which no plan names: pages a second, and the p99 below that rate."""
    pages = found.of(PAGES)
    wording = f"{PAGES} over {CONNECTIONS} connections"
    rate = target(NOTEBOOK, "pages.rps", wording, "at_least", TARGET_RPS, "answers/s")
    waits = [
        target(NOTEBOOK, "pages.p99", f"p99 of {crowd.label}", "at_most", P99_MS, "ms")
        for crowd in found.opened
    ]
    return [
        judged(rate, pages.per_s, saturated=bool(pages.void)),
        *(
            judged(wait, crowd.quantile_ms(0.99), saturated=bool(crowd.void))
            for wait, crowd in zip(waits, found.opened, strict=True)
        ),
    ]


def judge_rest(
    claims: Claims,
    everything: Contrast,
    throughput: Throughput,
    counts: Counts,
    origin: Origin,
    warnings: Sequence[str] = (),
) -> list[Result]:
    """Everything off against everything on, the whole stack's throughput, and what is counted."""
    judged = []
    if "impact.api.improvement" in claims:
        mix = f"{FIRST_VISITS:.0%} of the requests were first visits, the others in the cache"
        judged.append(
            from_comparison(
                origin,
                everything.overall,
                claim=claims.get("impact.api.improvement"),
                warnings=[*warnings, mix],
            )
        )
    if "api.all.rps" in claims:
        pages = throughput.of(PAGES)
        judged.append(
            from_estimate(
                origin,
                pages.per_s,
                n=pages.answers,
                blocks=len(pages.readings),
                claim=claims.get("api.all.rps"),
                saturated=bool(pages.void),
                warnings=[*warnings, "cached pages over 64 connections, the limiter on"],
            )
        )
    judged.extend(_unclaimed(throughput, origin, warnings))
    judged.extend(
        from_estimate(origin, exact(figure), n=1, claim=claims.get(id_))
        for id_, figure in counts.by_claim.items()
        if id_ in claims
    )
    return judged


def _unclaimed(throughput: Throughput, origin: Origin, warnings: Sequence[str]) -> Iterator[Result]:
    """What no plan promises and later runs are compared with: each load's answers, and p99."""
    for crowd in (*throughput.closed, *throughput.opened):
        if crowd.void:
            continue
        name = f"api.throughput.{'_'.join(re.findall('[a-z0-9]+', crowd.label))}"
        for what, metric, estimate in (
            ("rps", "throughput_rps", crowd.per_s),
            ("p99", "p99_ms", crowd.quantile_ms(0.99)),
        ):
            yield from_estimate(
                origin,
                estimate,
                n=crowd.answers,
                blocks=len(crowd.readings),
                name=f"{name}.{what}",
                metric=metric,
                warnings=warnings,
            )


def plan_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """The plan's table of endpoints, claimed beside measured."""
    return judged_frame(results, claims, [c.id for c in claims if c.table == PLAN_TABLE])


def verdict_frame(results: Sequence[Result], claims: Claims) -> pd.DataFrame:
    """Every claim of this notebook."""
    return judged_frame(results, claims, [c.id for c in claims.of(notebook=NOTEBOOK)])
