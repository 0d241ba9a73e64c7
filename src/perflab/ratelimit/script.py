"""The Lua scripts, put together from one file for each algorithm, and how they are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Final

import msgspec

from perflab.ratelimit.local import Part
from perflab.ratelimit.policies import ALGORITHMS, Policy
from perflab.redis_link import Command, Script

ROOM, WAIT, MORE, REST, MARK = VALUES = range(5)
"""What a check returns for each of its policies: units left; microseconds until the cost can be
had (0: it can, and the policy allows), until one unit more is left, and until all are; what a
refund must name."""
A_PART: Final = len(VALUES)

_encode: Final = msgspec.msgpack.Encoder().encode


class Check(msgspec.Struct, frozen=True, gc=False):
    """Policies that are decided together; all their keys share a slot."""

    parts: Sequence[Part]
    now_us: int
    """The caller's own time; 0 for the server's."""
    look: bool = False
    """Say what would be decided and charge nothing."""


def _text(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _script(name: str) -> Script:
    algorithms = "".join(
        f"algorithms[{number}] = (function()\n{_text(algorithm)}end)()\n"
        for number, algorithm in enumerate(ALGORITHMS, 1)
    )
    return Script(f"{_text('algorithms')}{algorithms}{_text('batch')}{_text(name)}")


CHECK: Final = _script("check")
REFUND: Final = _script("refund")


class Calls:
    """Makes the commands for a limiter's policies."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        table = [
            (
                ALGORITHMS.index(one.algorithm) + 1,
                one.limit,
                one.period_us,
                one.interval_us,
                one.capacity,
                int(one.shadow),
            )
            for one in policies
        ]
        # the same in every call, so written once
        self._policies = msgspec.Raw(_encode(table))

    def check(self, checks: Iterable[Check]) -> Command:
        """One call that decides them in this order; all their keys share a slot."""
        indices: dict[str, int] = {}
        asked = []
        for check in checks:
            one = [check.now_us, int(check.look)]
            for part in check.parts:
                one += (indices.setdefault(part.key, len(indices) + 1), part.number, part.cost)
            asked.append(one)
        return CHECK(tuple(indices), _encode((self._policies, asked)))

    def refund(self, charged: Sequence[tuple[Part, int]], now_us: int) -> Command:
        """The call that takes charges back, each with its mark; all their keys share a slot."""
        given = [now_us]
        for index, (part, mark) in enumerate(charged, 1):
            given += (index, part.number, part.cost, mark)
        keys = [part.key for part, _ in charged]
        return REFUND(keys, _encode((self._policies, given)))
