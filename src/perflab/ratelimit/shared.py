"""The store in Redis: checks of one tick travel together, within a budget, or are not answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from itertools import chain
from typing import Final

from perflab.own_loop import OwnLoop
from perflab.ratelimit.errors import RateLimitError, RateLimitUnavailable
from perflab.ratelimit.local import Part
from perflab.ratelimit.policies import Policy
from perflab.ratelimit.script import A_PART, MARK, WAIT, Calls, Check
from perflab.redis_link import (
    FAILURES,
    Batcher,
    Command,
    Guard,
    insisting,
    open_link,
    slot,
)

_PARTS_A_BATCH: Final = 256
"""The server does nothing else meanwhile: about a millisecond."""

Reply = Sequence[int] | None
Answers = dict[Part, Sequence[int]]
"""What one slot of a cluster said of each part."""


class SharedStore:
    """Answers within the budget or not at all; None stands for not at all.

    Args:
        url: of a server or of any node of a cluster.
        policies: in the order of their numbers.
        probe: what is charged to see whether a server is well again.
        cluster: whether it is a Redis Cluster.
        budget_s: how long a caller waits.
        timeout_s: for connecting, and until a call that hangs is given up.
        failures: how many batches in a row open the breaker.
        probe_s: how often a server behind an open breaker is tried.
    """

    def __init__(
        self,
        url: str,
        policies: Sequence[Policy],
        probe: Part,
        *,
        cluster: bool,
        budget_s: float,
        timeout_s: float,
        failures: int,
        probe_s: float,
    ) -> None:
        link = open_link(url, cluster=cluster, timeout_s=timeout_s, error=RateLimitError)
        self._link = link
        self._calls = Calls(policies)
        self._probe = Check([probe], 0)
        self._budget_s = budget_s
        self._timeout_s = timeout_s
        self.home: Final = OwnLoop("RateLimiter", RateLimitError)
        """The event loop that everything here belongs to."""
        self._refunding: set[asyncio.Task[None]] = set()
        self.cluster = cluster
        self.where = link.where
        """Address for messages, without credentials."""
        self.refunds = 0
        """Charges taken back because another slot denied."""
        self._guard = Guard(
            link,
            home=self.home,
            reach=lambda: link.call(self._calls.check([self._probe])),
            probe=lambda: self.ask(self._probe),
            budget_s=budget_s,
            timeout_s=timeout_s,
            failures=failures,
            probe_s=probe_s,
        )
        self.circuit = self._guard.circuit
        self._checks: Batcher[Check, Reply] = self._guard.batcher(
            self._run, max_weight=_PARTS_A_BATCH
        )

    @property
    def batches(self) -> int:
        """How many were sent."""
        return self._checks.batches

    def ask(self, check: Check) -> asyncio.Future[Reply]:
        """The values that the script returns for the check."""
        return self._checks.ask(check, len(check.parts))

    def decide(self, parts: Sequence[Part], now_us: int) -> Awaitable[Reply]:
        """Charge all parts or none; on a cluster over several slots see ``_across``."""
        if self.cluster and len(parts) > 1:
            groups: defaultdict[int, list[Part]] = defaultdict(list)
            for part in parts:
                groups[slot(part.key)].append(part)
            if len(groups) > 1:
                return self._across(parts, list(groups.values()), now_us)
        return self.ask(Check(parts, now_us))

    async def ping(self) -> None:
        """Return when a check was decided; RateLimitUnavailable says why none is."""
        self.home.check()
        advice = (
            "check that it runs, that the address and password are right and that scripts may run"
            " and write"
        )
        async with insisting(
            self._link, self._timeout_s, RateLimitUnavailable, "decides nothing", advice
        ):
            await self._link.call(self._calls.check([self._probe]))

    async def delete(self, keys: Sequence[str]) -> None:
        """Let keys start from nothing; RateLimitUnavailable if that was not done."""
        self.home.check()
        async with insisting(
            self._link, self._timeout_s, RateLimitUnavailable, "reset nothing", "try again"
        ):
            for reply in await self._link.run([("UNLINK", key) for key in keys]):
                if isinstance(reply, BaseException):
                    raise reply

    async def close(self) -> None:
        """Let everybody go and close the connections; the breaker stays open."""
        self.home.check()
        for task in self._refunding:
            task.cancel()
        await asyncio.gather(*self._refunding, return_exceptions=True)
        await self._guard.close()

    async def _run(self, checks: list[Check]) -> list[Reply]:
        if not self.cluster:
            reply = await self._link.call(self._calls.check(checks))
            return _shared_out(checks, reply)
        groups: defaultdict[int, list[int]] = defaultdict(list)
        for index, check in enumerate(checks):
            groups[slot(check.parts[0].key)].append(index)
        grouped = [[checks[index] for index in group] for group in groups.values()]
        replies = await self._link.run([self._calls.check(group) for group in grouped])
        answers: list[Reply] = [None] * len(checks)
        for indices, group, reply in zip(groups.values(), grouped, replies, strict=True):
            if isinstance(reply, BaseException):
                raise reply
            for index, answer in zip(indices, _shared_out(group, reply), strict=True):
                answers[index] = answer
        return answers

    async def _across(
        self, parts: Sequence[Part], groups: Sequence[Sequence[Part]], now_us: int
    ) -> Reply:
        """Ask every slot, then charge every slot; None if one did not answer.

        One that denies by then has the others refunded.
        """
        found = await self._asked(groups, now_us, look=True)
        if all(found) and not any(map(_denies, found)):
            found = await self._asked(groups, now_us)
            if not all(found) or any(map(_denies, found)):
                await self._refund(found, now_us)
        if not all(found):
            return None
        answers = {part: one for group in found for part, one in group.items()}
        return list(chain.from_iterable(answers[part] for part in parts))

    async def _asked(
        self, groups: Sequence[Sequence[Part]], now_us: int, *, look: bool = False
    ) -> list[Answers]:
        """What each slot answered; nothing where it did not."""
        replies = await asyncio.gather(*(self.ask(Check(one, now_us, look)) for one in groups))
        return [
            {}
            if reply is None
            else {part: reply[n * A_PART : (n + 1) * A_PART] for n, part in enumerate(group)}
            for group, reply in zip(groups, replies, strict=True)
        ]

    async def _refund(self, found: Sequence[Answers], now_us: int) -> None:
        """Take charges back; waits no longer than the budget, and goes on behind it."""
        commands = []
        for group in found:
            charged = [(part, one[MARK]) for part, one in group.items() if one[WAIT] <= 0]
            if charged and not _denies(group):
                self.refunds += len(charged)
                commands.append(self._calls.refund(charged, now_us))
        if commands:
            task = asyncio.get_running_loop().create_task(self._take_back(commands))
            self._refunding.add(task)
            task.add_done_callback(self._refunding.discard)
            await asyncio.wait((task,), timeout=self._budget_s)

    async def _take_back(self, commands: Sequence[Command]) -> None:
        with contextlib.suppress(*FAILURES):  # then it stays charged, and drains with time
            async with asyncio.timeout(self._timeout_s):
                await self._link.run(commands)


def _denies(found: Answers) -> bool:
    return any(one[WAIT] > 0 and not part.policy.shadow for part, one in found.items())


def _shared_out(checks: Sequence[Check], reply: Sequence[int]) -> list[Reply]:
    answers: list[Reply] = []
    start = 0
    for check in checks:
        end = start + A_PART * len(check.parts)
        answers.append(reply[start:end])
        start = end
    return answers
