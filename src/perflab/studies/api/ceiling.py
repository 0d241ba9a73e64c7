"""How many cached reads a second one core answers, with Redis and PostgreSQL on the same core.

The load comes from the other core, over many identities inside their quota, with the limiter on.
CPU time by process says where the core went, whatever else the machine was doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from perflab.load import LoadSamples, Request, Target, run_closed, run_open
from perflab.load.arrivals import poisson
from perflab.measure.experiment import without_gc
from perflab.services import Postgres, Redis
from perflab.studies.api.cores import Cores, confined, cpu_s, listening
from perflab.studies.api.served import HOST, Orders
from perflab.studies.child import Child

CONNECTIONS: Final = 64
IDLE_S: Final = 0.06
"""How long a server must be idle; CPU time is counted in hundredths of a second."""
IDLE_SHARE: Final = 0.3
"""Of a core; what is below is house-keeping."""
SETTLED_AFTER_S: Final = 3.0
SERVER: Final = "server"
REDIS: Final = "redis"
POSTGRES: Final = "postgres"

Floats = NDArray[np.float64]
Processes = Mapping[str, Sequence[psutil.Process]]


@dataclass(frozen=True)
class Reading:
    """One load against one server."""

    samples: LoadSamples
    cpu_s: dict[str, float]
    """CPU time by process: ``server``, ``redis``, ``postgres``."""

    @property
    def complete(self) -> int:
        """Answers of status 200 with a body and an ETag."""
        tagged = np.array([tag is not None for tag in self.samples.kept_header or ()], dtype=bool)
        good = (self.samples.status == 200) & (self.samples.body_bytes > 0)
        return int(np.count_nonzero(good & tagged))

    @property
    def not_modified(self) -> int:
        """Answers of status 304."""
        return int(np.count_nonzero(self.samples.status == 304))

    @property
    def rps(self) -> float:
        """Answers a second."""
        return self.samples.throughput_per_s

    @property
    def void(self) -> str:
        """Why the load says nothing of the server, in brief; empty where it does."""
        return self.samples.void_reason.partition(" (")[0]

    def cpu_us(self, who: str = SERVER) -> float:
        """CPU time an answer, in microseconds."""
        return 1e6 * self.cpu_s[who] / max(1, int(np.count_nonzero(self.samples.answered)))

    def share(self, who: str) -> float:
        """CPU time as a share of one core, while the load went on."""
        return self.cpu_s[who] / self.samples.window_s


class Served:
    """A server that loads can be put on; made by ``serving``."""

    def __init__(self, port: int, processes: Processes, generator: int | None) -> None:
        self.port = port
        self._target = Target(HOST, port)
        self._processes = processes
        self._generator = generator

    def closed(
        self,
        requests: Sequence[Request],
        seconds: float,
        *,
        users: int = CONNECTIONS,
        think_s: float | Floats = 0.0,
        own_process: bool = True,
    ) -> Reading:
        """As many answers as users on connections of their own get, one request each at a time.

        In a thread of this process a load begins sooner.
        """
        return self._read(
            lambda: run_closed(
                self._target,
                requests,
                users=users,
                seconds=seconds,
                think_s=think_s,
                keep_header="etag",
                own_process=own_process,
            )
        )

    def open(
        self, requests: Sequence[Request], rate_rps: float, seconds: float, seed: int
    ) -> Reading:
        """Poisson arrivals at a rate, on at most 64 connections; requests are taken in turn."""
        due_s = poisson(rate_rps, seed=seed, seconds=seconds)
        return self.due(lambda position: requests[position % len(requests)], due_s)

    def due(
        self,
        request: Callable[[int], Request],
        due_s: Floats,
        *,
        timeout_s: float = 5.0,
        own_process: bool = True,
    ) -> Reading:
        """A request for each due time, on at most 64 connections.

        In a thread of this process a load begins sooner; garbage is not collected meanwhile, and
        rates up to some thousands a second are kept.
        """
        return self._read(
            lambda: run_open(
                self._target,
                request,
                due_s,
                connections=CONNECTIONS,
                timeout_s=timeout_s,
                keep_header="etag",
                own_process=own_process,
            )
        )

    def settle(self) -> None:
        """Wait until the server has done what earlier loads left behind, a few seconds at most.

        A client that has given up does not take its request back.
        """
        ends = time.monotonic() + SETTLED_AFTER_S
        server = self._processes[SERVER]
        before = cpu_s(server)
        while time.monotonic() < ends:
            time.sleep(IDLE_S)
            now = cpu_s(server)
            if now - before < IDLE_SHARE * IDLE_S:
                return
            before = now

    def _read(self, load: Callable[[], LoadSamples]) -> Reading:
        with confined([psutil.Process()], self._generator), without_gc():
            before = {who: cpu_s(those) for who, those in self._processes.items()}
            samples = load()
            after = {who: cpu_s(those) for who, those in self._processes.items()}
        return Reading(samples, {who: after[who] - before[who] for who in after})


@contextmanager
def serving(orders: Orders, postgres: Postgres, redis: Redis, cores: Cores) -> Iterator[Served]:
    """A server in a process of its own, on one core with the Redis and the PostgreSQL it uses.

    Servers of another machine or another user stay where they are, and count no CPU time.
    """
    with serving_all({"": orders}, postgres, redis, cores) as served:
        yield served[""]


@contextmanager
def serving_all(
    orders: Mapping[str, Orders], postgres: Postgres, redis: Redis, cores: Cores
) -> Iterator[dict[str, Served]]:
    """Several servers by name, on the one core; they are started at the same time.

    A Redis or PostgreSQL that is not the lab's keeps its cores.
    """
    stores = {POSTGRES: listening(postgres.port), REDIS: listening(redis.port)}
    with ExitStack() as stack:
        for name, owned in ((POSTGRES, postgres.owned), (REDIS, redis.owned)):
            if owned:
                stack.enter_context(confined(stores[name], cores.served))
        program = Path(__file__).with_name("served.py")
        children = {name: stack.enter_context(Child(program)) for name in orders}
        ports: dict[str, int] = {}
        for name, child in children.items():
            # they look for a free port themselves, and two at once would find the same one
            told = msgspec.structs.replace(orders[name], core=cores.served)
            child.say(msgspec.json.encode(told).decode())
            ports[name] = int(child.hear())
        # now with the connections that the servers have opened
        stores[POSTGRES] = listening(postgres.port)
        yield {
            name: Served(port, {SERVER: listening(port), **stores}, cores.generator)
            for name, port in ports.items()
        }


def reads(path: str, tokens: Sequence[str]) -> list[Request]:
    """A GET of a path for each identity."""
    return [Request("GET", path, (("Authorization", f"Bearer {token}"),)) for token in tokens]
