"""One core for what is measured and one for who measures, and who used how much of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Cores:
    """Which core is whose; None for both where the machine has only one to give."""

    served: int | None
    """Of the API, Redis and PostgreSQL together."""
    generator: int | None


def two_cores() -> Cores:
    """The first two that this process may use; none where the system does not tell."""
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return Cores(usable[0], usable[1]) if len(usable) > 1 else Cores(None, None)


@contextmanager
def confined(processes: Sequence[psutil.Process], core: int | None) -> Iterator[None]:
    """Keep processes, and what they start meanwhile, on one core; they get theirs back."""
    before: list[tuple[psutil.Process, list[int]]] = []
    try:
        if core is not None:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    before.append((process, process.cpu_affinity()))
                    process.cpu_affinity([core])
        yield
    finally:
        for process, cores in before:
            with suppress(psutil.NoSuchProcess):
                process.cpu_affinity(cores)


def listening(port: int) -> list[psutil.Process]:
    """The process that listens on a port of this machine, and its children.

    Empty where it is another user's or another machine's.
    """
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return []
    found = [
        psutil.Process(one.pid)
        for one in connections
        if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid
    ]
    return [*found, *(child for one in found for child in one.children(recursive=True))]


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """User and system time that they have had, all threads together."""
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total
