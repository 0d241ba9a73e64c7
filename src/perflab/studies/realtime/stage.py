"""Hubs on one core, a crowd of clients on another, and Redis between hubs and publisher."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pandas as pd
import psutil

from perflab.realtime.client import ClientSettings
from perflab.realtime.hub import HubSettings
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.hub.process import HubOrder, HubReport
from perflab.services import Redis
from perflab.studies.child import Child
from perflab.studies.prefixes import own_prefix
from perflab.studies.realtime import crowd_process
from perflab.studies.realtime.crowd_process import CrowdOrder, Gathered, Seen

PATIENT: Final = ClientSettings(connect_timeout_s=5.0, reply_timeout_s=40.0)
"""The defaults, but for a crowd that comes all at once and waits for its turn."""
_LOOK_S: Final = 0.02
_ARRIVE_S: Final = 3.0
"""For what was published last to arrive."""
_AFTER_S: Final = 0.1
_CROWD: Final = 1_000_000
"""More than a crowd has clients."""


class Crowd:
    """Clients in a process of their own."""

    def __init__(self, child: Child, order: CrowdOrder, folder: Path) -> None:
        self._child = child
        self._file = folder / f"{secrets.token_hex(4)}.npz"
        self.order = order
        child.say(msgspec.json.encode(order).decode())
        self.gathered = msgspec.json.decode(child.hear(), type=Gathered)

    def subscribers(self, channel: str) -> int:
        """How many of its clients subscribe to a channel."""
        channels = self.order.channels
        return len(range(channels.index(channel), self.order.clients, len(channels)))

    def collect(self) -> pd.DataFrame:
        """What came since the last time: who, id, and got by the monotonic clock."""
        self._child.say(f"collect {self._file}")
        self._child.hear()
        with np.load(self._file) as arrays:
            return pd.DataFrame({name: arrays[name] for name in arrays.files})

    def drop(self) -> float:
        """Cut every connection at once; when that was."""
        self._child.say("drop")
        return float(self._child.hear())

    def seen(self) -> list[Seen]:
        """What became of each client."""
        self._child.say("state")
        return msgspec.json.decode(self._child.hear(), type=list[Seen])

    def until_back(self, within_s: float) -> None:
        """Return when all are connected, or the time is over: who is not is seen by ``seen``."""
        ends_at = time.monotonic() + within_s
        while time.monotonic() < ends_at:
            self._child.say("waiting")
            if not int(self._child.hear()):
                return
            time.sleep(_LOOK_S)


def arrivals(crowds: Sequence[Crowd], expected: int) -> pd.DataFrame:
    """What comes until it is all there, or too late; and shortly after, what came once more."""
    parts: list[pd.DataFrame] = []
    count, until = 0, time.monotonic() + _ARRIVE_S
    while True:
        enough = count >= expected or time.monotonic() > until
        time.sleep(_AFTER_S)
        for number, crowd in enumerate(crowds):
            part = crowd.collect()
            part["who"] += number * _CROWD
            parts.append(part)
            count += len(part)
        if enough:
            return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class Stage:
    """Hubs that share a Redis, and who connects to them."""

    redis_url: str
    prefix: str
    secret: str
    settings: HubSettings
    hubs: Sequence[HubProcess]
    stack: ExitStack
    folder: Path

    def crowd(
        self,
        clients: int,
        channels: Sequence[str],
        *,
        settings: ClientSettings = PATIENT,
        reads: bool = True,
        seed: int = 0,
        until: ExitStack | None = None,
    ) -> Crowd:
        """Clients that are connected and subscribed when this returns.

        They stay until the stage is left, or what is given as ``until``.
        """
        order = CrowdOrder(
            urls=[hub.url for hub in self.hubs],
            secret=self.secret,
            clients=clients,
            channels=list(channels),
            settings=settings,
            reads=reads,
            seed=seed,
        )
        child = (until or self.stack).enter_context(Child(Path(crowd_process.__file__)))
        return Crowd(child, order, self.folder)

    def reports(self) -> list[HubReport]:
        """What the hubs say of themselves."""
        return [hub.report() for hub in self.hubs]


@contextmanager
def stage(
    redis: Redis, settings: HubSettings, *, hubs: int = 2, url: str = "", drain_s: float = 2.0
) -> Iterator[Stage]:
    """Hubs for as long as the block, on the last core where there are several.

    Args:
        redis: whose keys and address are used.
        settings: of each hub.
        hubs: how many.
        url: another way to the same Redis, such as a proxy.
        drain_s: how long a hub that is told to end waits for its clients to leave.
    """
    order = HubOrder(
        redis=url or redis.url(),
        secret=secrets.token_hex(20),
        prefix=own_prefix(redis, "realtime"),
        drain_s=drain_s,
        settings=settings,
    )
    cores = sorted(os.sched_getaffinity(0))
    core = cores[-1] if len(cores) > 1 else None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflab-crowd-")))
        opened = [stack.enter_context(HubProcess(order, core=core)) for _ in range(hubs)]
        if core is not None:
            # the clients, children of this process, stay off the hubs' core
            stack.callback(os.sched_setaffinity, 0, cores)
            os.sched_setaffinity(0, cores[:-1])
        yield Stage(order.redis, order.prefix, order.secret, settings, opened, stack, folder)


def spent(before: Sequence[HubReport], after: Sequence[HubReport]) -> pd.DataFrame:
    """One row a hub: seconds of processor time, share of a core, and what it counted meanwhile."""
    rows = []
    for one, other in zip(before, after, strict=True):
        rows.append(
            {
                "cpu_s": other.cpu_s - one.cpu_s,
                "busy_percent": 100 * (other.cpu_s - one.cpu_s) / (other.at - one.at),
                **{
                    name: getattr(other.stats, name) - getattr(one.stats, name)
                    for name in ("deliveries", "frames", "heard", "dropped", "slow", "gaps")
                },
            }
        )
    return pd.DataFrame(rows)


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(psutil.Process(pid).memory_info().rss)
