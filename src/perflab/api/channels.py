"""``/channels/{name}/messages``: publishing into a channel, and polling where no hub is near."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.authentication import signed_in
from perflab.api.bodies import Body, Query, encode, json_response
from perflab.api.problems import RETRY_AFTER_S, Problem
from perflab.api.routing import Operation, Resource, resource
from perflab.realtime import (
    ChannelLog,
    ChannelsUnavailable,
    Lane,
    Position,
    RealtimeError,
    position_of,
)
from perflab.realtime.access import Access, Action, own_or_shared
from perflab.realtime.messages import CHANNEL_NAME, LARGEST_MESSAGE_BYTES, check_channel
from perflab.realtime.polls import LONGEST_WAIT_S, Poll, poll_of
from perflab.realtime.waiting import Waiting

_ENVELOPE_BYTES: Final = 1_024
_BODY_WITHIN_S: Final = 10.0


Name = Annotated[str, Meta(pattern=f"^{CHANNEL_NAME.pattern}$")]


class NewMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a publication."""

    data: msgspec.Raw
    """Any JSON value, handed on as it was written."""
    lane: Lane = "normal"


class Receipt(msgspec.Struct, frozen=True):
    """Where a message stands in its channel's lane."""

    epoch: str
    offset: int


class PollQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From where on, and how long to wait for something."""

    after: str | None = None
    """The last answer's position; without one, the answer is where the channel stands."""
    wait: Annotated[int, Meta(ge=0, le=LONGEST_WAIT_S)] = 0
    """Seconds."""


class Channels:
    """The endpoints of channels.

    Args:
        log: opened and closed by the application.
        waiting: for messages; opened and closed by the application.
        access: who may do what; hubs are given the same.
    """

    def __init__(self, log: ChannelLog, waiting: Waiting, access: Access = own_or_shared) -> None:
        self._log = log
        self._waiting = waiting
        self._access = access
        self._new = Body(NewMessage, LARGEST_MESSAGE_BYTES + _ENVELOPE_BYTES, _BODY_WITHIN_S)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        publish = Operation(self.publish, {201: Receipt}, takes=self._new, problems=[403])
        poll = Operation(self.poll, {200: Poll}, takes=Query(PollQuery), problems=[403])
        return [resource("/channels/{name}/messages", get=poll, post=publish, name=Name)]

    async def poll(self, request: Request, query: PollQuery) -> Response:
        """What a channel holds after a position; waits for the next message if that is nothing."""
        channel = self._channel(request, "subscribe")
        try:
            found = await self._waiting.read(channel, _position(query.after), query.wait)
        except ChannelsUnavailable:
            raise _away() from None
        return json_response(encode(poll_of(found)), cache_control="no-store")

    async def publish(self, request: Request, message: NewMessage) -> Response:
        """A message in the log, and on its way to everyone subscribed: 201.

        A repeated request is another message. After a 503 the message may be there or not.
        """
        channel = self._channel(request, "publish")
        data = bytes(message.data)
        if len(data) > LARGEST_MESSAGE_BYTES:
            raise Problem(413, f"data has at most {LARGEST_MESSAGE_BYTES} bytes")
        try:
            published = await self._log.publish(channel, data, message.lane)
        except ChannelsUnavailable:
            raise _away() from None
        receipt = Receipt(published.epoch, published.offset)
        return json_response(encode(receipt), 201, cache_control="no-store")

    def _channel(self, request: Request, action: Action) -> str:
        user = signed_in(request).user_id
        try:
            channel = check_channel(str(request.path_params["name"]))
        except RealtimeError as error:
            raise Problem(404, str(error)) from None
        if not self._access(str(user), channel, action):
            raise Problem(403, f"this channel is not yours to {action}")
        return channel


def _position(text: str | None) -> Position | None:
    try:
        return None if text is None else position_of(text)
    except RealtimeError as error:
        raise Problem(400, f"after: {error}") from None


def _away() -> Problem:
    return Problem(
        503, "channels do not answer in time; try again", {"retry-after": str(RETRY_AFTER_S)}
    )
