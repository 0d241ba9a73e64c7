"""How many files a process may have open, which bounds its connections."""

from __future__ import annotations

import resource
from typing import Final

from perflab.errors import PerflabError

SPARE: Final = 64
"""Descriptors that are needed beside connections."""


class TooFewFiles(PerflabError):
    """More connections are asked for than a process may have."""


def room_for() -> float:
    """Connections that a process of this machine may have, once its limit is raised."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if hard == resource.RLIM_INFINITY else float(hard - SPARE)


def allow_connections(connections: int) -> None:
    """Raise this process's limit of open files so far that it may have them, or as far as it goes.

    Systems set a low limit (often 1,024) that every process may raise by itself up to a second one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def need_connections(connections: int) -> None:
    """Make room for them; a TooFewFiles where this process may not have so many."""
    if connections > room_for():
        raise TooFewFiles(
            f"{connections} connections need {connections + SPARE} open files, and this process may"
            f" have {room_for() + SPARE:.0f}; raise the limit (ulimit -n {connections + SPARE}) or"
            " ask for fewer"
        )
    allow_connections(connections)
