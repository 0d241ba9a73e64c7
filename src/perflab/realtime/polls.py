"""What the API answers to a long poll: the same messages and positions as a hub's."""

from __future__ import annotations

from typing import Final

import msgspec

from perflab.realtime.messages import History, Lane

LONGEST_WAIT_S: Final = 30


class PolledMessage(msgspec.Struct, frozen=True):
    """One message of a poll."""

    lane: Lane
    offset: int
    data: msgspec.Raw


class Poll(msgspec.Struct, frozen=True):
    """The answer of ``GET /channels/{name}/messages``."""

    position: str
    """To be asked with next."""
    recovered: bool
    """Whether ``messages`` is all that came after the position asked for."""
    messages: list[PolledMessage]


def poll_of(history: History) -> Poll:
    """A history as the answer to a poll."""
    return Poll(
        history.position.text(),
        history.recovered,
        [PolledMessage(one.lane, one.offset, msgspec.Raw(one.data)) for one in history.messages],
    )
