"""The log of channels in Redis: publishing, and the bounded history that a client resumes from."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

import msgspec

from perflab.arguments import check_flag, check_seconds, check_whole
from perflab.own_loop import OwnLoop
from perflab.realtime.errors import ChannelsUnavailable, RealtimeError
from perflab.realtime.messages import (
    LANES,
    History,
    Lane,
    Message,
    Position,
    check_channel,
    check_lane,
    check_message,
    check_position,
)
from perflab.redis_link import (
    Batcher,
    Command,
    Guard,
    Script,
    open_link,
    reason,
)

OFFSETS_KEPT_S: Final = 7 * 86_400.0
"""How long a channel that nobody uses keeps its epoch."""
_PREFIX: Final = re.compile(r"[!-z|~]{0,200}")
"""Printable ASCII without braces, which would be taken for a cluster's hash tag."""
_COMMANDS_A_BATCH: Final = 200
_FAILURES_IN_A_ROW: Final = 3
_PROBE_S: Final = 0.5


def _script(name: str) -> Script:
    return Script(files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8"))


_PUBLISH: Final = _script("publish")
_READ: Final = _script("read")


class Published(NamedTuple):
    """Where a message stands in its channel's lane."""

    epoch: str
    offset: int


class LogStats(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of a log since it was opened."""

    published: int
    reads: int
    batches: int
    """Pipelines sent; calls of one tick travel together."""
    unavailable: int
    """Calls that Redis did not answer in time, or at all."""
    breaker_open: bool


class ChannelLog:
    """Appends messages to channels and reads them back, from any process.

    A message gets an offset and is told to all listeners in one atomic step. History is bounded by
    count and age. Calls of one tick travel together; a log belongs to one event loop. Offsets
    begin anew, under a new epoch, when Redis has lost them; a Redis that restarts from a snapshot
    older than its last message would break that, so it must keep nothing on disk or all of it
    (``appendfsync always``).

    Args:
        url: of Redis, or of any node of a cluster.
        prefix: of its keys and topics.
        history_size: messages of a lane that a channel keeps.
        history_s: how long it keeps them.
        cluster: whether it is a Redis Cluster.
        budget_s: how long a call may take.

    Raises:
        RealtimeError: an argument has no usable value.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "perflab:channels:",
        history_size: int = 1_000,
        history_s: float = 300.0,
        cluster: bool = False,
        budget_s: float = 1.0,
    ) -> None:
        check_whole("history_size", history_size, RealtimeError)
        check_seconds("history_s", history_s, RealtimeError)
        check_seconds("budget_s", budget_s, RealtimeError)
        check_flag("cluster", cluster, RealtimeError)
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise RealtimeError("prefix must be at most 200 printable characters without braces")
        if history_s > OFFSETS_KEPT_S:
            raise RealtimeError(
                f"history_s={history_s}: must be above 0 and at most {OFFSETS_KEPT_S:.0f}"
            )
        self.link: Final = open_link(url, cluster=cluster, timeout_s=budget_s, error=RealtimeError)
        self._home = OwnLoop("ChannelLog", RealtimeError)
        self._prefix = prefix
        self._size = history_size
        self._kept_ms = round(history_s * 1000)
        self._published = self._reads = self._unavailable = 0
        probe: Command = ("EXISTS", f"{prefix}{{probe}}")  # of one key, for a cluster
        self._guard = Guard(
            self.link,
            home=self._home,
            reach=lambda: self.link.call(probe),
            probe=lambda: self._calls.ask(probe),
            budget_s=budget_s,
            timeout_s=2 * budget_s,
            failures=_FAILURES_IN_A_ROW,
            probe_s=_PROBE_S,
        )
        self._calls: Batcher[Command, Any] = self._guard.batcher(
            self.link.run, max_weight=_COMMANDS_A_BATCH
        )

    async def __aenter__(self) -> ChannelLog:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def topic(self, channel: str) -> str:
        """Where listeners of a channel subscribe."""
        return topic_of(self._prefix, channel)

    async def publish(self, channel: str, data: bytes, lane: Lane = "normal") -> Published:
        """Append a message: one JSON value in UTF-8.

        Raises:
            RealtimeError: the channel or lane is none, the message too large or no JSON.
            ChannelsUnavailable: no answer; whether the message was published is not known.
        """
        check_channel(channel)
        check_lane(lane)
        check_message(data)
        meta, critical, normal = self._keys(channel)
        stream = critical if lane == "critical" else normal
        command = _PUBLISH(
            (meta, stream),
            lane,
            data,
            self.topic(channel),
            _new_epoch(),
            self._size,
            self._kept_ms,
            round(OFFSETS_KEPT_S * 1000),
        )
        epoch, offset = await self._ask(command)
        self._published += 1
        return Published(epoch.decode(), offset)

    async def read(self, channel: str, after: Position | None = None) -> History:
        """What follows a position; without one, where the channel stands.

        Raises:
            RealtimeError: the channel is none, or ``after`` no position.
            ChannelsUnavailable: no answer.
        """
        check_channel(channel)
        check_position(after)
        asked: Sequence[str | int] = () if after is None else after
        reply = await self._ask(
            _READ(
                self._keys(channel),
                _new_epoch(),
                self._kept_ms,
                round(OFFSETS_KEPT_S * 1000),
                self._size,
                *asked,
            )
        )
        self._reads += 1
        return _history(channel, after, reply)

    def stats(self) -> LogStats:
        """Counts so far."""
        return LogStats(
            published=self._published,
            reads=self._reads,
            batches=self._calls.batches,
            unavailable=self._unavailable,
            breaker_open=self._guard.circuit.is_open,
        )

    async def close(self) -> None:
        """Let everybody go and close the connections."""
        self._home.check()
        await self._guard.close()

    def _keys(self, channel: str) -> tuple[str, str, str]:
        """Of one slot."""
        stem = f"{self._prefix}{{{channel}}}"
        return f"{stem}:offsets", f"{stem}:critical", f"{stem}:normal"

    async def _ask(self, command: Command) -> Any:
        self._home.check()
        reply = None if self._guard.circuit.is_open else await self._calls.ask(command)
        if reply is None or isinstance(reply, BaseException):
            self._unavailable += 1
            why = "no answer in time" if reply is None else reason(reply)
            raise ChannelsUnavailable(f"Redis at {self.link.where}: {why}; try again")
        return reply


def topic_of(prefix: str, channel: str) -> str:
    """What a message of a channel is told under, by Redis's publish and subscribe."""
    return f"{prefix}topic:{channel}"


def _new_epoch() -> str:
    return secrets.token_hex(6)


def _history(channel: str, after: Position | None, reply: Any) -> History:
    position = Position(reply[0].decode(), reply[1], reply[2])
    if after is None:
        return History(position, True, ())
    if after.epoch != position.epoch:
        return History(position, False, ())
    messages: list[Message] = []
    for lane, found in zip(LANES, reply[3:], strict=True):
        offsets = found[::2]
        if offsets != list(range(after.of(lane) + 1, position.of(lane) + 1)):
            return History(position, False, ())
        messages += (
            Message(channel, lane, offset, data)
            for offset, data in zip(offsets, found[1::2], strict=True)
        )
    if any(after.of(lane) > position.of(lane) for lane in LANES):
        return History(position, False, ())
    return History(position, True, messages)
