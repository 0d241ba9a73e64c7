"""Redis within a budget: batched reads and writes, a circuit breaker, recovery by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from perflab.cache.entry import Invalidation
from perflab.cache.redis.channel import messages
from perflab.cache.redis.link import mget, purge
from perflab.own_loop import OwnLoop
from perflab.redis_link import Batcher, Command, Guard, Link, Outcome

_NAMES_A_BATCH: Final = 1_000

Found = dict[str, bytes | None]


class _Write(NamedTuple):
    commands: Sequence[Command]
    undo: Command | None
    """What takes them back where nobody waited for the replies."""


class _Purge(NamedTuple):
    names: Sequence[str]
    what: Invalidation


class Server:
    """Answers within the budget or not at all; None stands for not at all.

    Args:
        link: the connections; closed with this.
        home: the event loop that they belong to.
        budget_s: how long a caller waits.
        timeout_s: for connecting, and until a batch that hangs is given up.
        failures: how many in a row open the breaker.
        probe_s: how often a server behind an open breaker is tried.
        probe: what is read then.
        purge_timeout_s: how long a purge may take.
        channel: where purges are announced.
    """

    def __init__(
        self,
        link: Link,
        *,
        home: OwnLoop,
        budget_s: float,
        timeout_s: float,
        failures: int,
        probe_s: float,
        probe: str,
        purge_timeout_s: float,
        channel: str,
    ) -> None:
        self._link = link
        self.home: Final = home
        self._channel = channel
        self._guard = Guard(
            link,
            home=home,
            reach=lambda: mget(link, [probe]),
            probe=lambda: self.read([probe]),
            budget_s=budget_s,
            timeout_s=timeout_s,
            failures=failures,
            probe_s=probe_s,
        )
        self.circuit = self._guard.circuit
        self.purges_failed = 0
        """Batches of purges that failed or took too long."""
        self.reads: Batcher[Sequence[str], Found] = self._guard.batcher(
            self._run_reads, max_weight=_NAMES_A_BATCH
        )
        """Takes names, and their number, and answers as ``read`` does."""
        self._writes: Batcher[_Write, list[Any]] = self._guard.batcher(
            self._run_writes, max_weight=_NAMES_A_BATCH, unclaimed=self._take_back
        )
        # a server that refuses to write may still be read
        self._purges: Batcher[_Purge, bool] = self._guard.unhurried(
            self._run_purges,
            max_weight=_NAMES_A_BATCH,
            timeout_s=purge_timeout_s,
            outcome=self._purge_outcome,
        )

    @property
    def read_batches(self) -> int:
        """How many reads were sent."""
        return self.reads.batches

    @property
    def write_batches(self) -> int:
        """How many pipelines were sent."""
        return self._writes.batches

    def read(self, names: Sequence[str]) -> asyncio.Future[Found | None]:
        """What is stored under the names, and perhaps under others."""
        return self.reads.ask(names, len(names))

    def write(
        self, commands: Sequence[Command], *, undo: Command | None = None
    ) -> asyncio.Future[list[Any] | None]:
        """The reply to each command; an error reply is an exception in the list.

        ``undo`` is sent if the commands were carried out too late for the caller.
        """
        return self._writes.ask(_Write(commands, undo), len(commands))

    def purge(self, names: Sequence[str], what: Invalidation) -> asyncio.Future[bool | None]:
        """Delete the names, then announce what that invalidates; True when that is done."""
        return self._purges.ask(_Purge(names, what), len(names))

    async def close(self) -> None:
        """Let everybody go and close the connections; the breaker stays open."""
        await self._guard.close()

    async def _run_reads(self, asked: list[Sequence[str]]) -> list[Found]:
        names = dict.fromkeys(chain.from_iterable(asked))
        found = await mget(self._link, list(names))
        return [found] * len(asked)

    async def _run_writes(self, asked: list[_Write]) -> list[list[Any]]:
        replies = iter(await self._link.run([one for write in asked for one in write.commands]))
        return [[next(replies) for _ in write.commands] for write in asked]

    async def _run_purges(self, asked: list[_Purge]) -> list[bool]:
        names = dict.fromkeys(chain.from_iterable(purge.names for purge in asked))
        keys = dict.fromkeys(chain.from_iterable(purge.what.keys for purge in asked))
        tags = dict.fromkeys(chain.from_iterable(purge.what.tags for purge in asked))
        everything = any(purge.what.everything for purge in asked)
        announced = messages(list(keys), list(tags), everything)
        await purge(self._link, list(names), self._channel, announced)
        return [True] * len(asked)

    def _purge_outcome(self, outcome: Outcome, began_at: float) -> None:
        if outcome != "answered":
            self.purges_failed += 1

    def _take_back(self, write: _Write) -> None:
        if write.undo is not None and not self.circuit.is_open:
            self.write([write.undo])
