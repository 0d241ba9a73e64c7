"""The edge measured: hit ratio under a paced load, latency, purges, and nginx killed."""

from __future__ import annotations

import asyncio
import http.client
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from perflab.cache import PUBLIC_CONTENT
from perflab.cache.cache_status import parse
from perflab.cache.edge import outcome_of
from perflab.cache.policies.predict import ttl_hit_ratio
from perflab.load import LoadSamples, Request, Target, run_open
from perflab.measure.comparison import Comparison, compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params
from perflab.measure.samples import Samples
from perflab.measure.statistics import Estimate, independent_quantile, mean_of_repetitions
from perflab.profiles import CacheSizes
from perflab.progress import Step
from perflab.report.not_run import NotRun
from perflab.services import Nginx, Redis
from perflab.studies.cache.driving import LATE_S, MOST_LATE, poisson_s
from perflab.studies.cache.outage import AFTER_S, BEFORE_S, Outage
from perflab.studies.cache.site import LONGEST_S, Client, Site, open_site, page
from perflab.studies.cache.tiers import WINDOW_TTLS
from perflab.studies.cache.workload import Workload, synthetic
from perflab.studies.frames import triple
from perflab.studies.loops import in_own_loop

POLICY: Final = PUBLIC_CONTENT
WORK_S: Final = 0.005
"""What making a page takes at the origin."""
KILLED: Final = "nginx was killed and started again; its clients went to the origin meanwhile"
AWAY_S: Final = 0.8
CLIENTS: Final = 8
RACES: Final = 8
HELD_S: Final = 0.4
"""How long a load that races a purge is under way."""

_CONNECTIONS: Final = 64
_SECOND_S: Final = 0.5
"""nginx counts whole seconds: a response lives up to one longer, half of that on average."""
_GIVEN_UP_S: Final = LONGEST_S + 3.0
_PAUSE_S: Final = 0.004
_STATES: Final = ("edge", "origin")


@dataclass(frozen=True)
class EdgeRun:
    """Requests through the edge at their own pace: a cold part, then windows."""

    pages: int
    alpha: float
    rate_rps: float
    """Of the site that is imitated."""
    factor: float
    """By which the lifetime was divided and the rate multiplied."""
    ttl_s: float
    """As the edge was told."""
    samples: LoadSamples
    hits: tuple[float, ...]
    """The share of hits in each window after the cold part."""
    cold: float
    predicted: float

    @property
    def percent(self) -> Estimate:
        """The mean hit ratio over the windows, in percent."""
        return mean_of_repetitions([100 * share for share in self.hits])

    @property
    def failed(self) -> int:
        """Requests without an answer."""
        return len(self.samples) - int(self.samples.answered.sum())

    @property
    def late_share(self) -> float:
        """Of the requests: sent more than LATE_S after they were due, by the generator's fault."""
        return float(np.mean(self.samples.pacing_s > LATE_S))

    @property
    def saturated(self) -> bool:
        """Whether the generator was the limit."""
        return self.late_share > MOST_LATE

    def frame(self) -> pd.DataFrame:
        """One row: measured, by formula, while cold, and the latency from schedule in ms."""
        latency_ms = 1_000 * self.samples.latency_s
        return pd.DataFrame(
            [
                {
                    "pages": self.pages,
                    "rate_rps": self.rate_rps,
                    "factor": self.factor,
                    **triple("measured", self.percent),
                    "predicted": 100 * self.predicted,
                    "cold": 100 * self.cold,
                    "requests": len(self.samples),
                    "failed": self.failed,
                    "late": 100 * self.late_share,
                    "p50_ms": float(np.nanquantile(latency_ms, 0.5)),
                    "p95_ms": float(np.nanquantile(latency_ms, 0.95)),
                }
            ]
        )


def measure_edge_hits(
    nginx: Nginx | NotRun, redis: Redis, workload: Workload, sizes: CacheSizes
) -> EdgeRun | NotRun:
    """Poisson arrivals for public pages; the lifetime of hours and the rate are scaled together.

    The edge is told whole seconds, so the factor is what makes of the policy's hours the nearest
    whole number of seconds at about ``edge_driven_rps``.
    """
    if isinstance(nginx, NotRun):
        return nginx
    pages = synthetic(sizes.edge_pages, workload.alpha, workload.seed)
    ttl_s = max(2, round(sizes.edge_rps * POLICY.edge_ttl_s / sizes.edge_driven_rps))
    factor = POLICY.edge_ttl_s / ttl_s
    lifetimes = 1 + WINDOW_TTLS * sizes.windows
    count = round(sizes.edge_rps * POLICY.edge_ttl_s * lifetimes)
    codes = pages.first(count)
    due_s = poisson_s(count, sizes.edge_rps * factor, pages.seed)
    with open_site(nginx, redis, control=f"max-age={ttl_s}", work_s=0.0):
        requests = [Request("GET", page(number)) for number in range(sizes.edge_pages)]
        samples = run_open(
            Target(nginx.host, nginx.port),
            [requests[code] for code in codes.tolist()],
            due_s,
            connections=_CONNECTIONS,
            keep_header="cache-status",
        )
    hit = np.array([_is_hit(said) for said in samples.kept_header or ()])
    first = round(count / lifetimes)
    parts = np.array_split(hit[first:], sizes.windows)
    rates = pages.shares(codes) * sizes.edge_rps * factor
    return EdgeRun(
        pages=sizes.edge_pages,
        alpha=pages.alpha,
        rate_rps=sizes.edge_rps,
        factor=factor,
        ttl_s=ttl_s,
        samples=samples,
        hits=tuple(float(part.mean()) for part in parts),
        cold=float(hit[:first].mean()),
        predicted=ttl_hit_ratio(rates, ttl_s + _SECOND_S),
    )


def _is_hit(said: bytes | None) -> bool:
    """Whether the edge answered by itself; what was revalidated with the origin is no hit."""
    status = parse(said.decode("latin-1")) if said else ()
    return bool(status) and outcome_of(status[-1]) in ("hit", "stale")


@dataclass(frozen=True)
class EdgeLatencies:
    """Pages from the origin, and through the edge, with the measured share of hits."""

    samples: Samples
    hit_share: float
    overall: Comparison
    by_state: dict[str, Comparison]

    def frame(self) -> pd.DataFrame:
        """One row a place: the mean, median and p95 in ms."""
        rows = [("no edge: the origin", self.overall.before)]
        rows += [(_SHOWN[state], c.after) for state, c in self.by_state.items()]
        rows.append(("edge, hits and misses", self.overall.after))
        return pd.DataFrame(
            [
                {
                    "where": where,
                    "n": figures.n,
                    **triple("mean", figures.of("mean")),
                    **triple("median", figures.of("median")),
                    **triple("p95", figures.of("p95")),
                }
                for where, figures in rows
            ]
        )


_SHOWN: Final = {"edge": "edge, a hit", "origin": "edge, a miss"}


def measure_edge_latency(
    nginx: Nginx | NotRun,
    redis: Redis,
    hits: EdgeRun | NotRun,
    sizes: CacheSizes,
    seed: int,
    step: Step | None = None,
) -> EdgeLatencies | NotRun:
    """The same pages past the edge and through it, one call after the other.

    A call through the edge finds its page stored as often as was measured, by chance; all arms
    of a round get the same. Making a page takes the origin WORK_S.
    """
    if isinstance(nginx, NotRun):
        return nginx
    if isinstance(hits, NotRun):
        return hits
    share = float(np.mean(hits.hits))
    lasts = f"max-age={POLICY.edge_ttl_s:.0f}"
    with (
        open_site(nginx, redis, control=lasts, work_s=WORK_S) as site,
        closing(site.at_origin()) as origin,
        closing(site.through_edge()) as edge,
        closing(site.through_edge()) as again,
    ):
        for number in range(_STORED):
            edge.ask(page(number))
        fresh = iter(range(_STORED, 1 << 40))
        samples = Experiment(
            before=Arm("origin", _asking(origin, fresh)),
            after=Arm("edge", _asking(edge, fresh)),
            control=Arm("edge again", _asking(again, fresh)),
            operations=[Operation("page", "edge", _drawing(share))],
            rounds=sizes.rounds,
            calls=sizes.calls * _CALLS,
            warmup=1,
            seed=seed,
        ).run(step)
    by_state: dict[str, Comparison] = {
        state: compare(samples, selectivities=[state])
        for state in _STATES
        if state in samples.selectivities
    }
    return EdgeLatencies(samples, share, compare(samples), by_state)


_STORED: Final = 20
"""Pages that are asked for again and again."""
_CALLS: Final = 4
"""Times as many calls as of the database's slow queries: a page takes a hundredth of one."""


def _drawing(share: float) -> Callable[[np.random.Generator], Draw]:
    def draw(rng: np.random.Generator) -> Draw:
        state = "edge" if rng.random() < share else "origin"
        return Draw({"number": int(rng.integers(_STORED)), "state": state}, state)

    return draw


def _asking(client: Client, fresh: Iterator[int]) -> Callable[[Operation, Params], int]:
    def call(_operation: Operation, params: Params) -> int:
        stored = params["state"] == "edge"
        number = int(str(params["number"])) if stored else next(fresh)
        client.ask(page(number))
        return 1

    return call


def measure_edge_purges(nginx: Nginx | NotRun, redis: Redis, purges: int) -> pd.DataFrame | NotRun:
    """Rows for the table of purges: how long until the edge serves what was changed.

    *Edge* has the old page stored. In *edge, a load under way* the origin has read the old
    version when the page is purged, so the old one is stored after the purge, and what counts
    is the purge's repetition.
    """
    if isinstance(nginx, NotRun):
        return nginx
    lasts = f"max-age={POLICY.edge_ttl_s:.0f}"
    with open_site(nginx, redis, control=lasts, work_s=0.0) as site:
        return in_own_loop(_purges(site, purges))


async def _purges(site: Site, purges: int) -> pd.DataFrame:
    stored = [page(number) for number in range(purges)]
    under_way = [page(number, f"hold={HELD_S:g}") for number in range(purges, purges + RACES)]
    # every race holds a thread for its load and needs another one to go on
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * RACES + 2))
    async with site.purging() as (cache, _edge):

        async def seen(target: str, number: int, *, racing: bool) -> float | None:
            """Milliseconds from the purge until the new version is served; None: not in time."""
            with closing(site.through_edge()) as client, closing(site.at_origin()) as source:
                filling = asyncio.create_task(asyncio.to_thread(client.ask, target))
                if racing:
                    await asyncio.sleep(HELD_S / 2)
                else:
                    await filling
                await asyncio.to_thread(source.ask, page(number), method="PUT")
                began = time.perf_counter()
                await cache.invalidate(tags=[f"page:{number}"])
                await filling
                while time.perf_counter() - began < _GIVEN_UP_S:
                    body, _fields = await asyncio.to_thread(client.ask, target)
                    if body.startswith(b"version 2\n"):
                        return 1_000 * (time.perf_counter() - began)
                    await asyncio.sleep(0.02 if racing else 0.0)
                return None

        alone = [await seen(target, n, racing=False) for n, target in enumerate(stored)]
        raced = await asyncio.gather(
            *(seen(target, purges + n, racing=True) for n, target in enumerate(under_way))
        )
    return pd.DataFrame([_row("edge", alone), _row("edge, a load under way", raced)])


def _row(tier: str, times: Sequence[float | None]) -> dict[str, object]:
    found = [ms for ms in times if ms is not None]
    return {
        "tier": tier,
        "purges": len(times),
        "not_seen": len(times) - len(found),
        **triple("median", independent_quantile(found, 0.5)),
        **triple("p95", independent_quantile(found, 0.95)),
        "longest": max(found, default=float("nan")),
    }


def survive_edge_outage(nginx: Nginx | NotRun, redis: Redis) -> Outage | NotRun:
    """nginx is killed under load and started again; who gets no answer there asks the origin."""
    if isinstance(nginx, NotRun):
        return nginx
    lasts = f"max-age={POLICY.edge_ttl_s:.0f}"
    with open_site(nginx, redis, control=lasts, work_s=WORK_S) as site:
        return _survive(site)


def _survive(site: Site) -> Outage:
    calls: list[tuple[float, float, str]] = []
    failed: list[str] = []
    over = threading.Event()
    started = time.perf_counter()

    def client(seed: int) -> None:
        rng = np.random.default_rng([seed])
        with closing(site.through_edge()) as edge, closing(site.at_origin()) as origin:
            while not over.is_set():
                target = page(int(rng.integers(_STORED)))
                sent = time.perf_counter()
                for who, way in (("edge", edge), ("origin", origin)):
                    try:
                        way.ask(target)
                    except (OSError, http.client.HTTPException):
                        continue
                    calls.append((sent - started, 1_000 * (time.perf_counter() - sent), who))
                    break
                else:
                    failed.append(target)
                over.wait(_PAUSE_S)

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(BEFORE_S)
        gone = time.perf_counter() - started
        site.nginx.stop(kill=True)
        time.sleep(AWAY_S)
        site.nginx.restart()
        back = time.perf_counter() - started
        time.sleep(AFTER_S)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    frame = pd.DataFrame(calls, columns=["at_s", "ms", "kind"]).sort_values("at_s")
    again = frame[(frame["kind"] == "edge") & (frame["at_s"] >= gone)]["at_s"]
    return Outage(
        subject="the edge",
        stand_in="origin",
        cause=KILLED,
        calls=frame,
        away=(gone, back),
        failed=len(failed),
        recovered_s=max(0.0, float(again.min() - back)) if len(again) else None,
    )
