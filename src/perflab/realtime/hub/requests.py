"""What a client may ask of a hub, and what it is told where it may not."""

from __future__ import annotations

import inspect
import logging
import time
from typing import Final

import msgspec
from websockets.frames import CloseCode

from perflab.ratelimit.policies import US
from perflab.realtime.access import Access, Action
from perflab.realtime.errors import ChannelsUnavailable, RealtimeError
from perflab.realtime.hub.connection import HubConnection
from perflab.realtime.hub.fanout import Fanout
from perflab.realtime.hub.rooms import Rooms
from perflab.realtime.hub.settings import HubSettings
from perflab.realtime.hub.stats import Counters
from perflab.realtime.log import ChannelLog
from perflab.realtime.messages import check_channel, position_of
from perflab.realtime.protocol import (
    Accepted,
    Publish,
    Reason,
    Refused,
    Request,
    Subscribe,
    Unsubscribe,
    decode_request,
)

_AGAIN_S = 1.0
_LOG: Final = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())


class Requests:
    """Carries requests out, one at a time for each connection."""

    def __init__(
        self,
        settings: HubSettings,
        counters: Counters,
        log: ChannelLog,
        rooms: Rooms,
        fanout: Fanout,
        access: Access,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._log = log
        self._rooms = rooms
        self._fanout = fanout
        self._access = access

    async def serve(self, connection: HubConnection) -> None:
        """Answer until the connection is closed, by its client or for what its client sent."""
        async for text in connection:
            self._counters.requests += 1
            request = self._read(connection, text)
            if request is not None:
                await self._carry_out(connection, request)
            elif self._is_hostile(connection):
                self._counters.hostile += 1
                await connection.close(CloseCode.POLICY_VIOLATION, "too many bad requests")

    def _read(self, connection: HubConnection, text: str | bytes) -> Request | None:
        try:
            request: Request = decode_request(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            connection.faults += 1
            self._counters.malformed += 1
            detail = f"no request: {str(error)[:200]}"
            self._refuse(connection, -1, "malformed", detail)
            return None
        meter = connection.meter
        if meter is not None:
            meter.at(time.monotonic_ns() // 1_000)
            wait_us = meter.wait(1)
            if wait_us > 0:
                connection.refusals += 1
                self._counters.rate_limited += 1
                policy = self._settings.policy
                detail = f"more than {policy.limit} requests in {policy.period_s:g} s"
                self._refuse(connection, request.id, "rate_limited", detail, wait_us / US)
                return None
            meter.take(1)
        return request

    def _is_hostile(self, connection: HubConnection) -> bool:
        return (
            connection.faults >= self._settings.most_faults
            or connection.refusals >= self._settings.most_refusals
        )

    async def _carry_out(self, connection: HubConnection, request: Request) -> None:
        action: Action = "publish" if isinstance(request, Publish) else "subscribe"
        try:
            check_channel(request.channel)
            why_not = self._forbidden(connection.user, request.channel, action)
            if why_not:
                self._counters.forbidden += 1
                self._refuse(connection, request.id, "forbidden", why_not)
            elif isinstance(request, Subscribe):
                await self._subscribe(connection, request)
            elif isinstance(request, Unsubscribe):
                self._rooms.unsubscribe(connection, request.id, request.channel)
            else:
                await self._publish(connection, request)
        except ChannelsUnavailable as error:
            self._refuse(connection, request.id, "unavailable", str(error), _AGAIN_S)
        except RealtimeError as error:
            self._refuse(connection, request.id, "channel", str(error))

    def _forbidden(self, user: str, channel: str, action: Action) -> str:
        """Why a user may not do that; empty where it may."""
        try:
            allowed = self._access(user, channel, action)
            if inspect.iscoroutine(allowed):
                allowed.close()
                raise TypeError("it returned a coroutine, which nobody awaits")
        except Exception:  # noqa: BLE001 - whatever a hook raises, the hub goes on
            _LOG.exception("the access hook failed for %r of user %r", channel, user)
            return "the hub cannot tell whether this channel is yours; its log says why"
        return "" if allowed else f"this channel is not yours to {action}"

    async def _subscribe(self, connection: HubConnection, request: Subscribe) -> None:
        after = None if request.after is None else position_of(request.after)
        most = self._settings.channels_a_connection
        if len(connection.channels) >= most:
            detail = f"a connection has at most {most} channels"
            self._refuse(connection, request.id, "too_many", detail)
            return
        await self._rooms.subscribe(connection, request.id, request.channel, after)

    async def _publish(self, connection: HubConnection, request: Publish) -> None:
        place = await self._log.publish(request.channel, bytes(request.data), request.lane)
        self._fanout.tell(connection, Accepted(request.id, place.epoch, place.offset))

    def _refuse(
        self,
        connection: HubConnection,
        request: int,
        reason: Reason,
        detail: str,
        retry_after_s: float = 0.0,
    ) -> None:
        self._fanout.tell(connection, Refused(request, reason, detail, round(retry_after_s, 3)))
