"""Members on the workers of a Dask cluster: one of this machine's own, or the user's."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from perflab import __version__
from perflab.load.distributed.conducting import WorkerLost
from perflab.load.distributed.member import Member, Place, State, place
from perflab.load.errors import LoadError
from perflab.load.scenarios.outcome import Run
from perflab.load.scenarios.scenario import Scenario
from perflab.load.scenarios.schedule import Segment

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S: Final = 3.0
_SCHEMES: Final = ("tcp", "tls")
_POLL_S: Final = 0.02
_SETTINGS: Final = {
    # a sampling profiler would take the interpreter from the generator a hundred times a second
    "distributed.worker.profile.enabled": False,
    "distributed.comm.timeouts.connect": f"{CONNECT_S:g}s",
}
_MEMBERS: Final[dict[str, Member]] = {}
"""On a worker: the members of runs that were not yet taken home."""


class FarMember:
    """A member on a worker of a cluster; messages go by way of its scheduler."""

    def __init__(self, client: Client, address: str, where: Place, run: str) -> None:
        self._client = client
        self._address = address
        self._run = run
        self._lost = False
        self.name = f"{address} ({where.host}, pid {where.pid})"

    def prepare(self, scenario: Scenario, segment: Segment, *, spin: bool) -> None:
        """Make the member."""
        self._ask(_start, scenario, segment, spin)

    def clock(self) -> float:
        """The worker's clock."""
        return float(self._ask(_call, "clock"))

    def begin(self, at: float) -> None:
        """Start at this moment of it."""
        self._ask(_call, "begin", at)

    def state(self) -> State:
        """How it stands."""
        state: State = self._ask(_call, "state")
        return state

    def latest(self) -> Run | None:
        """Its latest requests."""
        run: Run | None = self._ask(_call, "latest")
        return run

    def stop(self) -> None:
        """End early."""
        self._ask(_call, "stop")

    def result(self) -> Run | None:
        """What it measured, once it has ended."""
        while self.state().phase not in ("ended", "failed"):  # a call must not block its worker
            time.sleep(_POLL_S)
        run: Run | None = self._ask(_call, "result")
        return run

    def leave(self) -> None:
        """Forget the member over there."""
        with contextlib.suppress(WorkerLost):
            self._ask(_drop)

    def _ask(self, function: Callable[..., Any], *arguments: Any) -> Any:
        lost = WorkerLost(f"worker {self.name} was lost")
        if self._lost:
            raise lost
        try:
            found = self._client.run(
                function, self._run, *arguments, workers=[self._address], on_error="return"
            )
            answer = found[self._address]
        except (OSError, TimeoutError, KeyError, ValueError) as error:
            answer = error
        if isinstance(answer, LoadError):
            raise answer
        if isinstance(answer, BaseException):
            self._lost = True
            raise lost from answer
        return answer


@contextlib.contextmanager
def crew(scenario: Scenario, *, workers: int | None, scheduler: str) -> Iterator[dict[str, Any]]:
    """Members by name, each preparing its segment of a scenario.

    Args:
        scenario: what they carry out.
        workers: how many; of a cluster of one's own all where it is None.
        scheduler: the address of a Dask scheduler; empty for a cluster on this machine.

    A LoadError where Dask is missing, the scheduler cannot be reached, or its workers cannot be
    used: too few of them, too many for the users, or without the same version of perflab.
    """
    if importlib.util.find_spec("distributed") is None:
        raise LoadError(
            "a load of several workers needs Dask; install it with: pip install"
            " 'perflab[distributed]'"
        )
    import dask

    with dask.config.set(_SETTINGS), contextlib.ExitStack() as stack:
        client = stack.enter_context(
            _users_client(scheduler) if scheduler else _own_client(workers or 1)
        )
        places = _places(client)
        if workers is not None and len(places) < workers:
            raise LoadError(f"--workers {workers}: the cluster has {len(places)} workers")
        chosen = dict(sorted(places.items())[:workers])
        if len(chosen) > scenario.users:
            raise LoadError(
                f"{len(chosen)} workers for {scenario.users} users: each worker needs one of them;"
                f" give --workers {scenario.users} or fewer"
            )
        on_host = Counter(where.host for where in chosen.values())
        run = secrets.token_hex(8)
        members = {}
        for number, (address, where) in enumerate(chosen.items()):
            member = FarMember(client, address, where, run)
            stack.callback(member.leave)
            segment = Segment(number, len(chosen))
            member.prepare(scenario, segment, spin=on_host[where.host] <= where.cores - 1)
            members[member.name] = member
        yield members


@contextlib.contextmanager
def _own_client(workers: int) -> Iterator[Client]:
    """A cluster on this machine, whose processes end with this one."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):
        # a Ctrl-C on the terminal is for this process, which then takes their figures home
        client.run(_ignore_interrupts)
        yield client


@contextlib.contextmanager
def _users_client(scheduler: str) -> Iterator[Client]:
    from distributed import Client

    _check_address(scheduler)
    try:
        # before there is a client: one that finds no scheduler cannot be closed for a while
        asyncio.run(_identify(scheduler))
        client = Client(scheduler, timeout=f"{CONNECT_S:g}s", set_as_default=False)
    except (OSError, TimeoutError, TypeError, ValueError) as error:
        raise LoadError(
            f"--scheduler {scheduler}: no Dask scheduler answers there"
            f" ({str(error) or f'not within {CONNECT_S:g} s'}); it is like tcp://host:8786"
        ) from None
    with client:
        yield client


async def _identify(scheduler: str) -> None:
    """Hear who answers there, if it is a scheduler."""
    from distributed.core import rpc
    from distributed.security import Security

    arguments = Security().get_connection_args("client")
    async with asyncio.timeout(CONNECT_S):
        async with rpc(scheduler, connection_args=arguments) as there:
            await there.identity()


def _check_address(address: str) -> None:
    """A LoadError for what is no address like ``tcp://host:8786``."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(address)
        whole = f"{parts.scheme}://{parts.netloc}" == address and parts.scheme in _SCHEMES
        if whole and parts.hostname and parts.port and "@" not in address:
            return
    raise LoadError(
        "--scheduler: must be the address of a Dask scheduler, like tcp://host:8786 or"
        " tls://host:8786"
    )


def _places(client: Client) -> dict[str, Place]:
    """The workers that there are, by address."""
    found: dict[str, Any] = client.run(place, on_error="return")
    if not found:
        raise LoadError("the cluster has no workers; start some")
    for address, where in found.items():
        if not isinstance(where, Place) or where.perflab != __version__:
            theirs = f"has {where.perflab}" if isinstance(where, Place) else f"has none ({where})"
            raise LoadError(
                f"worker {address} {theirs}; install perflab {__version__}, which this is, there"
            )
    return found


# what runs on a worker


def _start(run: str, scenario: Scenario, segment: Segment, spin: bool) -> None:
    _MEMBERS[run] = Member(scenario, segment, spin=spin)


def _call(run: str, method: str, *arguments: Any) -> Any:
    return getattr(_MEMBERS[run], method)(*arguments)


def _drop(run: str) -> None:
    member = _MEMBERS.pop(run, None)
    if member is not None:
        member.stop()


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
