"""The whole stack at its limit: closed loops over many identities, then open arrivals below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import pandas as pd

from perflab.load import Request
from perflab.measure.statistics import Estimate
from perflab.profiles import ApiSizes
from perflab.progress import Step
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import POSTGRES, REDIS, SERVER, Reading, Served
from perflab.studies.api.loads import Load, answered, over_repetitions, quantile_ms, unspoilt
from perflab.studies.api.parts import FULL, NO_LEASES, NO_LIMITER
from perflab.studies.api.served import BARE_PATH, Orders
from perflab.studies.api.site import Person, StudyError
from perflab.studies.api.traffic import signed
from perflab.studies.frames import triple

BARE: Final = "bare framework"
CROWD: Final = 1_000
"""Identities that the requests are spread over, where there are so many."""
PROFILE: Final = "/users/me"
SHORT_PAGE: Final = "/tasks?limit=10"
IDENTITY: Final = ("Accept-Encoding", "identity")
TARGET_RPS: Final = 12_000.0
"""Pages a second over the closed loops: what the lab asks of its API, which no plan names."""
OPEN_SHARE: Final = 0.70
"""How hard the open arrivals load: as a share of the target, and of what the closed loops reached.
The second is the harder one, since a server that reached more in a good moment is nearer to its
limit in a slow one."""
OFTEN: Final = 2
"""Closed loads of pages in each repetition: there is a target, and three say little of a rate."""
WARM_RPS: Final = 1_500.0

AGAIN_S: Final = 0.15
"""Enough for every request once, unless the machine is slow."""
LONGEST_S: Final = 1.0
"""Of one load: more of them, and somebody's quota of a thousand would be used up."""
OPEN_S: Final = LONGEST_S
"""Of one load of open arrivals, whatever the profile: a 99th percentile needs many requests."""
OPEN_EACH: Final = 12
"""But not more of each identity than these; a crowd of a hundred has shorter loads."""

PAGES: Final = "pages of ten tasks"
UNLEASED: Final = "pages, each check of the limiter in Redis"
UNLIMITED: Final = "pages, without the limiter"
NOT_MODIFIED: Final = "pages not modified (304)"
_OPENED: Final = (
    f"pages, open arrivals at {OPEN_SHARE:.0%} of {TARGET_RPS:,.0f}/s",
    f"pages, open arrivals at {OPEN_SHARE:.0%} of the rate reached",
)


@dataclass(frozen=True)
class Crowd:
    """One kind of request, put to one server again and again."""

    label: str
    good: int
    """The status of an answer that counts."""
    readings: tuple[Reading, ...]
    """Repetitions."""

    @property
    def per_s(self) -> Estimate:
        """Answers of the right status a second."""
        return over_repetitions([self._per_s(reading) for reading in self.readings])

    @property
    def answers(self) -> int:
        """Of the right status; a 200 counts only with a body and an ETag."""
        return sum(self._count(reading) for reading in self.readings)

    @property
    def others(self) -> int:
        """Requests without such an answer."""
        return sum(len(reading.samples) for reading in self.readings) - self.answers

    @property
    def void(self) -> str:
        """Why the figures say nothing of the server; empty where they do."""
        return next((reading.void for reading in self.readings if reading.void), "")

    def quantile_ms(self, q: float) -> Estimate:
        """A percentile of the latency from the schedule, over all loads; see ``quantile_ms``."""
        return quantile_ms(
            [
                Load(reading.rps, reading, answered(reading, [self.good]))
                for reading in self.readings
            ],
            q,
        )

    def share(self, who: str) -> float:
        """CPU time as a share of one core."""
        return float(np.mean([reading.share(who) for reading in self.readings]))

    @property
    def generator(self) -> float:
        """The busy share of the generator, of its own core."""
        return float(np.mean([reading.samples.busy_share for reading in self.readings]))

    def _count(self, reading: Reading) -> int:
        return reading.not_modified if self.good == 304 else reading.complete

    def _per_s(self, reading: Reading) -> float:
        whole = max(1, int(np.count_nonzero(reading.samples.answered)))
        return reading.rps * self._count(reading) / whole


@dataclass(frozen=True)
class Throughput:
    """Closed loops over 64 connections, and open arrivals at a share of what they reached."""

    closed: tuple[Crowd, ...]
    opened: tuple[Crowd, ...]
    identities: int

    def of(self, label: str) -> Crowd:
        """The closed loop of this label."""
        return next(crowd for crowd in self.closed if crowd.label == label)

    @property
    def overhead(self) -> float:
        """How many answers of the bare framework come on one of the whole stack."""
        return _middle(self.of(BARE)) / max(1e-9, _middle(self.of(PAGES)))


def bare_orders(served: Served, person: Person) -> Orders:
    """The bare framework with a page of the API as its answer, fields and all."""
    with Caller(served.port) as caller:
        answer = caller.ask(signed(person, "GET", SHORT_PAGE, None, IDENTITY))
    lines = answer.head.decode("latin-1").split("\r\n")[1:-2]
    fields = tuple(
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(":") for line in lines)
        if name.strip().lower() not in ("content-length", "date", "server")
    )
    return Orders(answer=answer.body, fields=fields)


def measure_throughput(
    served: Mapping[str, Served],
    people: Sequence[Person],
    sizes: ApiSizes,
    seed: int,
    step: Step | None = None,
) -> Throughput:
    """Cached reads, the limiter on, everybody within a quota of a thousand.

    ``served`` needs the servers called full, no leases, no limiter and bare framework. The kinds
    take turns in each repetition, and the pages have ``OFTEN`` of them; then the open arrivals,
    which are of pages. A load that is void is put on again, see ``unspoilt``.
    """
    crowd = people[:CROWD]
    pages = [signed(person, "GET", SHORT_PAGE, None, IDENTITY) for person in crowd]
    profiles = [signed(person, "GET", PROFILE, None, IDENTITY) for person in crowd]
    warm(served[NO_LIMITER], pages)
    warm(served[NO_LEASES], pages)
    warm(served[FULL], profiles)
    tags = warm(served[FULL], pages).samples.kept_header or ()
    kinds: dict[str, tuple[str, Sequence[Request], int]] = {
        PAGES: (FULL, pages, 200),
        NOT_MODIFIED: (FULL, _revalidating(crowd, tags), 304),
        UNLEASED: (NO_LEASES, pages, 200),
        UNLIMITED: (NO_LIMITER, pages, 200),
        BARE: (BARE, [Request("GET", BARE_PATH)], 200),
    }
    turns = [*kinds, *[PAGES] * (OFTEN - 1)]
    turns *= sizes.repetitions
    total = len(turns) + len(_OPENED) * sizes.repetitions
    load_s = min(sizes.load_s, LONGEST_S)
    readings: dict[str, list[Reading]] = {label: [] for label in kinds}
    for number, label in enumerate(turns):
        server, requests, _ = kinds[label]
        if step:
            step(label, number, total)
        _again(served[server], requests)
        load = partial(served[server].closed, requests, load_s)
        readings[label].append(unspoilt(load))
    closed = tuple(
        Crowd(label, good, tuple(readings[label])) for label, (_, _, good) in kinds.items()
    )
    rates = dict(zip(_OPENED, (TARGET_RPS, _middle(closed[0])), strict=True))
    opened: dict[str, list[Reading]] = {label: [] for label in rates}
    for number, label in enumerate([*rates] * sizes.repetitions):
        if step:
            step(label, len(turns) + number, total)
        _again(served[FULL], pages)
        rate = max(1.0, OPEN_SHARE * rates[label])
        seconds = min(OPEN_S, OPEN_EACH * len(crowd) / rate)
        load = partial(served[FULL].open, pages, rate, seconds, seed + number)
        opened[label].append(unspoilt(load))
    return Throughput(
        closed,
        tuple(Crowd(label, 200, tuple(found)) for label, found in opened.items()),
        len(crowd),
    )


def warm(served: Served, requests: Sequence[Request], rate_rps: float = WARM_RPS) -> Reading:
    """Every request once, so that its answer is in the caches."""
    due_s = np.arange(len(requests)) / rate_rps
    return served.due(lambda number: requests[number], due_s, own_process=False)


def _again(served: Served, requests: Sequence[Request]) -> None:
    """Once more through all of them, a moment before they count.

    A process keeps its own copies for some seconds, less than a repetition takes; in a longer
    load than these, fetching them again is a request in sixty of each user.
    """
    seconds = AGAIN_S
    while len(served.closed(requests, seconds, own_process=False).samples) < len(requests):
        if seconds >= LONGEST_S:
            return
        seconds = min(2 * seconds, LONGEST_S)


def throughput_frame(found: Throughput) -> pd.DataFrame:
    """One row a load."""
    return pd.DataFrame(
        [
            {
                "what": crowd.label,
                **triple("per_s", crowd.per_s),
                **triple("median", crowd.quantile_ms(0.5)),
                **triple("p99", crowd.quantile_ms(0.99)),
                "answers": crowd.answers,
                "others": crowd.others,
                **{who: crowd.share(who) for who in (SERVER, REDIS, POSTGRES)},
                "generator": crowd.generator,
                "void": crowd.void,
            }
            for crowd in (*found.closed, *found.opened)
        ]
    )


def _revalidating(crowd: Sequence[Person], tags: Sequence[bytes | None]) -> list[Request]:
    """Pages, each with the ETag that it was answered with a moment ago."""
    requests = []
    for person, tag in zip(crowd, tags, strict=True):
        if tag is None:
            raise StudyError(f"{SHORT_PAGE} was answered without an ETag")
        field = ("If-None-Match", tag.decode("latin-1"))
        requests.append(signed(person, "GET", SHORT_PAGE, None, IDENTITY, field))
    return requests


def _middle(crowd: Crowd) -> float:
    return float(np.median([reading.rps for reading in crowd.readings]))
