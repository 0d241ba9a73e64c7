"""The store in Redis: checks of one tick travel together, within a budget, or are not answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from perflab.ratelimit.errors import RateLimitError, RateLimitUnavailable
from perflab.ratelimit.local import Part
from perflab.ratelimit.policies import Policy
from perflab.ratelimit.script import A_PART, Calls, Check
from perflab.redis_link import (
    FAILURES,
    Batcher,
    Circuit,
    RedisUrlError,
    open_link,
    reason,
    slot,
)

_PARTS_A_BATCH: Final = 256
"""The server does nothing else meanwhile: about a millisecond."""
_IN_FLIGHT: Final = 8

Reply = Sequence[int] | None


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
        try:
            self._link = open_link(url, cluster=cluster, timeout_s=timeout_s)
        except RedisUrlError as error:
            raise RateLimitError(str(error)) from None
        self._calls = Calls(policies)
        self._probe = Check([probe], 0)
        self._budget_s = budget_s
        self._timeout_s = timeout_s
        self._refunds: set[asyncio.Task[None]] = set()
        self.cluster = cluster
        self.where = self._link.where
        """Address for messages, without credentials."""
        self.circuit = Circuit(self._is_well, failures=failures, probe_s=probe_s)
        self._checks: Batcher[Check, Reply] = Batcher(
            self._run,
            failures=FAILURES,
            budget_s=budget_s,
            give_up_s=timeout_s,
            max_weight=_PARTS_A_BATCH,
            in_flight=_IN_FLIGHT,
            outcome=self.circuit.outcome,
        )

    @property
    def batches(self) -> int:
        """How many were sent."""
        return self._checks.batches

    def ask(self, check: Check) -> asyncio.Future[Reply]:
        """The values that the script returns for the check."""
        return self._checks.ask(check, len(check.parts))

    async def ping(self) -> None:
        """Return when a check was decided; RateLimitUnavailable says why none is."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._link.call(self._calls.check([self._probe]))
        except FAILURES as error:
            raise RateLimitUnavailable(
                f"Redis at {self.where} decides nothing: {reason(error)}; check that it runs, that"
                " the address and password are right and that scripts may run and write"
            ) from None

    async def refund(self, charged: Sequence[tuple[Part, int]], now_us: int) -> None:
        """Take charges back; waits no longer than the budget, and goes on behind it."""
        task = asyncio.get_running_loop().create_task(self._take_back(charged, now_us))
        self._refunds.add(task)
        task.add_done_callback(self._refunds.discard)
        await asyncio.wait((task,), timeout=self._budget_s)

    async def delete(self, keys: Sequence[str]) -> None:
        """Let keys start from nothing; RateLimitUnavailable if that was not done."""
        try:
            async with asyncio.timeout(self._timeout_s):
                replies = await self._link.run([("UNLINK", key) for key in keys])
                for reply in replies:
                    if isinstance(reply, BaseException):
                        raise reply
        except FAILURES as error:
            raise RateLimitUnavailable(
                f"Redis at {self.where} reset nothing: {reason(error)}; try again"
            ) from None

    async def close(self) -> None:
        """Let everybody go and close the connections; the breaker stays open."""
        await self.circuit.close()
        await self._checks.close()
        for task in self._refunds:
            task.cancel()
        await asyncio.gather(*self._refunds, return_exceptions=True)
        with contextlib.suppress(*FAILURES):
            await self._link.close()

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

    async def _take_back(self, charged: Sequence[tuple[Part, int]], now_us: int) -> None:
        groups: defaultdict[int, list[tuple[Part, int]]] = defaultdict(list)
        for part, mark in charged:
            groups[slot(part.key)].append((part, mark))
        commands = [self._calls.refund(group, now_us) for group in groups.values()]
        with contextlib.suppress(*FAILURES):  # then it stays charged, and drains with time
            async with asyncio.timeout(self._timeout_s):
                await self._link.run(commands)

    async def _is_well(self) -> bool:
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(self._timeout_s):
                # connects, which may take longer than the budget
                await self._link.call(self._calls.check([self._probe]))
            return await self.ask(self._probe) is not None
        return False


def _shared_out(checks: Sequence[Check], reply: Sequence[int]) -> list[Reply]:
    answers: list[Reply] = []
    start = 0
    for check in checks:
        end = start + A_PART * len(check.parts)
        answers.append(reply[start:end])
        start = end
    return answers
