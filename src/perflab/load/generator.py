"""Open and closed HTTP loads: arguments checked, carried out, samples at the end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from perflab.arguments import check_kind
from perflab.descriptors import TooFewFiles, need_connections
from perflab.load.apart import in_process, in_thread
from perflab.load.arrivals import positive, whole
from perflab.load.engine import Engine, carry_out
from perflab.load.errors import LoadError
from perflab.load.live import LiveFigures
from perflab.load.plan import (
    Closed,
    Limits,
    Open,
    Plan,
    Requests,
    ascending,
    field_name,
    pauses,
    rendered,
)
from perflab.load.request import Request, Target
from perflab.load.samples import LoadSamples


def run_open(
    target: Target,
    requests: Requests,
    due_s: NDArray[np.float64] | Sequence[float],
    *,
    connections: int = 16,
    waiting: int = 10_000,
    timeout_s: float = 5.0,
    keep_header: str | None = None,
    keep_body: bool = False,
    own_process: bool = False,
    live: LiveFigures | None = None,
) -> LoadSamples:
    """Send one request at each due time, whether earlier ones are answered or not.

    Blocks until every request has its outcome, at most for about twice ``timeout_s`` after the
    last one was due. The load has a thread and an event loop of its own, so this may be called
    from a notebook's cell; an interrupt stops it.

    Args:
        target: the server.
        requests: one for all, one for each due time, or a function of the position in ``due_s``,
            which is called for all positions before the clock starts.
        due_s: seconds from the start, ascending, shape ``(n,)``; see ``arrivals``.
        connections: at most so many are open at a time, and so many are opened in advance.
        waiting: at most so many due requests wait for a free connection; what comes on top is
            dropped and counted, and so is what has waited for ``timeout_s``.
        timeout_s: from sending to the complete answer, the opening of a connection included.
        keep_header: name of a response header field whose values are kept, one a sample.
        keep_body: keep every body; mind the memory.
        own_process: run in a fresh process. For when this one does other work meanwhile, such as
            serving what is measured: threads of one interpreter take turns.
        live: counts along, for whoever watches from another thread; not in a process of its own.

    A LoadError names an argument that cannot be used, more connections than this process may have
    files open, or a host without an address.
    """
    if own_process and live is not None:
        raise LoadError("live: a load in a process of its own cannot be watched from this one")
    if live is not None:
        check_kind("live", live, LiveFigures, LoadError)
    due = ascending(due_s)
    wires, order = rendered(target, requests, len(due))
    limits = Limits(
        connections=_granted("connections", connections),
        waiting=whole("waiting", waiting, 0),
        timeout_s=positive("timeout_s", timeout_s),
        keep_header=field_name(keep_header),
        keep_body=keep_body,
    )
    plan = Plan(target.host, target.port, wires, order, Open(due), limits, target.tls)
    return in_process(plan) if own_process else in_thread(Engine(lambda: carry_out(plan, live)))


def run_closed(
    target: Target,
    requests: Request | Sequence[Request],
    *,
    users: int,
    seconds: float,
    think_s: float | Sequence[float] | NDArray[np.float64] = 0.0,
    timeout_s: float = 5.0,
    keep_header: str | None = None,
    keep_body: bool = False,
    own_process: bool = False,
) -> LoadSamples:
    """Let a fixed number of users send, each its next request after its last one's outcome.

    A closed load sends less while the server is slow, so its latency says nothing about waiting
    (coordinated omission): it measures throughput at a fixed concurrency. Requests under way
    after ``seconds`` are waited for, but do not count into the throughput.

    Args:
        target: the server.
        requests: one for all, or several that are sent in turn, from the front again after the
            last.
        users: how many, each on a connection of its own.
        seconds: after these nobody sends any more.
        think_s: pause of a user between an outcome and its next request; of several, each pause
            takes the next one. The next request is due at the pause's end. The users begin spread
            over the first pause.
        timeout_s: from sending to the complete answer, the opening of a connection included.
        keep_header: name of a response header field whose values are kept, one a sample.
        keep_body: keep every body; mind the memory.
        own_process: run in a fresh process, as for ``run_open``.

    A LoadError names an argument that cannot be used, more connections than this process may have
    files open, or a host without an address.
    """
    users = _granted("users", users)
    shape = Closed(users, positive("seconds", seconds), pauses(think_s))
    wires, order = rendered(target, requests, None)
    limits = Limits(
        connections=users,
        waiting=users,
        timeout_s=positive("timeout_s", timeout_s),
        keep_header=field_name(keep_header),
        keep_body=keep_body,
    )
    plan = Plan(target.host, target.port, wires, order, shape, limits, target.tls)
    return in_process(plan) if own_process else in_thread(Engine(lambda: carry_out(plan)))


def _granted(name: str, connections: int) -> int:
    """So many connections, with this process's limit of open files raised for them."""
    try:
        need_connections(whole(name, connections, 1))
    except TooFewFiles as error:
        raise LoadError(f"{name}: {error}") from None
    return connections
