"""``/channels/{name}/messages``: publishing into a channel of the real-time part."""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.authentication import signed_in
from perflab.api.bodies import Body, encode, json_response
from perflab.api.problems import RETRY_AFTER_S, Problem
from perflab.api.routing import Operation, Resource, resource
from perflab.realtime import ChannelLog, ChannelsUnavailable, Lane, RealtimeError
from perflab.realtime.access import Access, Action, own_or_shared
from perflab.realtime.messages import LARGEST_MESSAGE_BYTES, check_channel

_ENVELOPE_BYTES: Final = 1_024
_BODY_WITHIN_S: Final = 10.0


class NewMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a publication."""

    data: msgspec.Raw
    """Any JSON value, handed on as it was written."""
    lane: Lane = "normal"


class Receipt(msgspec.Struct, frozen=True):
    """Where a message stands in its channel's lane."""

    epoch: str
    offset: int


class Channels:
    """The endpoints of channels.

    Args:
        log: opened and closed by the application.
        access: who may do what; hubs are given the same.
    """

    def __init__(self, log: ChannelLog, access: Access = own_or_shared) -> None:
        self._log = log
        self._access = access
        self._new = Body(NewMessage, LARGEST_MESSAGE_BYTES + _ENVELOPE_BYTES, _BODY_WITHIN_S)

    def routes(self) -> list[Resource]:
        """The routes of these endpoints."""
        publish = Operation(self.publish, {201: Receipt}, takes=self._new, problems=[403])
        return [resource("/channels/{name}/messages", post=publish)]

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


def _away() -> Problem:
    return Problem(
        503, "channels do not answer in time; try again", {"retry-after": str(RETRY_AFTER_S)}
    )
