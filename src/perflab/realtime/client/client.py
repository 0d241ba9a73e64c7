"""A client that stays: it reconnects, resumes, and polls where no WebSocket can be had."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx
import msgspec
import numpy as np

from perflab.arguments import check_kind
from perflab.own_loop import OwnLoop
from perflab.realtime.backoff import Backoff
from perflab.realtime.client.callbacks import check_callback
from perflab.realtime.client.outgoing import Outgoing, Reply
from perflab.realtime.client.polling import Poller
from perflab.realtime.client.session import Session
from perflab.realtime.client.settings import ClientSettings
from perflab.realtime.client.socket import ClientSocket, ConnectFailed, TokenRefused, open_socket
from perflab.realtime.client.states import Outage, State, Track, Transition
from perflab.realtime.client.subscription import OnGap, OnMessage, Subscription
from perflab.realtime.client.tokens import FixedToken, HubToken, SessionToken, check_bearer
from perflab.realtime.endpoints import Endpoints, check_address
from perflab.realtime.errors import RealtimeError
from perflab.realtime.log import Published
from perflab.realtime.messages import (
    Lane,
    Position,
    check_channel,
    check_lane,
    check_message,
    check_position,
)
from perflab.realtime.protocol import Accepted, Publish

_MOVE_SHARE: Final = 0.8
"""Of the time that a hub gives its clients to leave."""
_LOG: Final = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_encode: Final = msgspec.json.Encoder().encode


class RealtimeClient:
    """Subscriptions and publications over whichever hub can be reached.

    Used with ``async with``, in one event loop. It connects by itself, tries another hub when one
    is lost, continues every subscription where it stopped, and polls the API while no hub can be
    had, trying to get back all the time.

    Args:
        endpoints: the hubs, ``ws://…``; or what clients of one process know of them together.
        token: a bearer token, for the hubs and for the API; None where a session is given.
        api: the address of the API, to poll when no hub can be reached; None fails instead.
        session: the token of a login to that API, which then gives tokens for the hubs.
        settings: times and sizes.
        seed: of the choice of hubs and of the jitter; None for one of the system's.
        on_state: called with each change of state; must not block.
        transport: what reaches the API in place of httpx's own, such as one for a proxy.

    Raises:
        RealtimeError: an argument has no usable value.
    """

    def __init__(
        self,
        endpoints: Sequence[str] | Endpoints,
        token: str | None = None,
        *,
        api: str | None = None,
        session: str | None = None,
        settings: ClientSettings | None = None,
        seed: int | None = None,
        on_state: Callable[[Transition], object] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._home = OwnLoop("RealtimeClient", RealtimeError)
        self._home.check()
        check_callback("on_state", on_state, "set an asyncio.Event in it")
        if api is not None:
            check_address("api", api, ("http", "https"))
        for name, given in (("token", token), ("session", session)):
            check_bearer(name, given)
        if settings is not None:
            check_kind("settings", settings, ClientSettings, RealtimeError)
        self._settings = settings or ClientSettings()
        self._bearer = session or token
        self._api = api
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._rng = np.random.default_rng(seed)
        self._token: HubToken = FixedToken(token)
        if session is not None:
            if api is None or token is not None:
                raise RealtimeError("a session takes the place of a token, and needs an api")
            timeout_s = self._settings.connect_timeout_s
            self._token = SessionToken(api, session, timeout_s=timeout_s, transport=transport)
        if not isinstance(endpoints, Endpoints):
            endpoints = Endpoints(endpoints, self._rng)
        self._endpoints = endpoints
        self._backoff = Backoff(
            self._rng,
            base_s=self._settings.backoff_base_s,
            cap_s=self._settings.backoff_cap_s,
            attempts=self._settings.attempts,
            stable_s=self._settings.stable_s,
            jitter=self._settings.jitter,
        )
        self._track = Track(self._loop.time, on_state)
        self._subscriptions: dict[str, Subscription] = {}
        self._outgoing = Outgoing(self._settings.send_queue)
        self._ids = itertools.count(1)
        self._session: Session | None = None
        self._poller: Poller | None = None
        self._polling: dict[str, asyncio.Task[None]] = {}
        self._failure: RealtimeError | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> RealtimeClient:
        self._home.check()
        if self._task is not None:
            raise RealtimeError("a client is opened once; make another one")
        self._task = self._loop.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._end("closed", RealtimeError("the client was closed"))

    @property
    def state(self) -> State:
        """What it is doing."""
        return self._track.state

    @property
    def transitions(self) -> Sequence[Transition]:
        """The last changes of state, by the event loop's clock."""
        return self._track.transitions

    @property
    def outages(self) -> Sequence[Outage]:
        """The last connections that were lost, by the event loop's clock."""
        return self._track.outages

    async def subscribe(
        self,
        channel: str,
        on_message: OnMessage | None = None,
        *,
        on_gap: OnGap | None = None,
        after: Position | None = None,
    ) -> Subscription:
        """The messages of a channel, from now or from a position on.

        Without ``on_message``, an ``async for`` over the subscription gives them.

        Raises:
            RealtimeError: no such channel, not allowed, subscribed already, no answer in time, or
                a callback that cannot be called or is an async function.
        """
        check_channel(channel)
        check_position(after)
        self._check_running()
        if channel in self._subscriptions:
            raise RealtimeError(f"channel {channel!r} is subscribed already; use that subscription")
        subscription = Subscription(
            channel,
            on_message=on_message,
            on_gap=on_gap,
            queue=self._settings.receive_queue,
            after=after,
        )
        self._subscriptions[channel] = subscription
        if self._session is not None:
            self._session.subscribe(channel)
        elif self._poller is not None:
            self._poll(subscription, asyncio.Event())
        try:
            async with asyncio.timeout(self._settings.reply_timeout_s):
                await subscription.until_started()
        except TimeoutError:
            self._leave(subscription)
            raise self._failure or RealtimeError(
                f"channel {channel!r}: no answer in time; try again"
            ) from None
        except asyncio.CancelledError:  # nobody would read what comes
            self._leave(subscription)
            raise
        except RealtimeError:
            self._forget(subscription)
            raise
        if self._failure is not None:  # closed meanwhile
            raise self._failure
        return subscription

    async def unsubscribe(self, channel: str) -> None:
        """End a subscription; its ``async for`` ends with what it has."""
        self._home.check()
        subscription = self._subscriptions.get(channel)
        left = None if subscription is None else self._leave(subscription)
        if left is not None:
            await asyncio.wait((left,), timeout=self._settings.reply_timeout_s)

    async def publish(self, channel: str, value: Any, lane: Lane = "normal") -> Published:
        """Append a value, as JSON, to a channel; waits until it is in the log.

        While no connection is there it waits for the next one. What was under way when one broke
        is not repeated.

        Raises:
            ChannelsUnavailable: it may have been published or not.
            RealtimeError: it was not, as where the channel or lane is none, or the value cannot be
                JSON or is too large.
        """
        check_channel(channel)
        check_lane(lane)
        data = check_message(_json(value))  # what is in a msgspec.Raw is written out unseen
        self._check_running()
        if self._poller is not None:
            place = await self._poller.publish(channel, data, lane)
            return Published(place.epoch, place.offset)
        request = Publish(next(self._ids), channel, msgspec.Raw(data), lane)
        reply = self._outgoing.put(request, lane)
        try:
            async with asyncio.timeout(self._settings.reply_timeout_s):
                accepted = await reply
        except TimeoutError:
            raise RealtimeError("no answer in time; it may have been published or not") from None
        if not isinstance(accepted, Accepted):
            raise RealtimeError("the hub answered something else")
        return Published(accepted.epoch, accepted.offset)

    def drop(self) -> None:
        """Cut the connection as a network would, to see what becomes of it."""
        if self._session is not None:
            self._session.cut_off()

    def _forget(self, subscription: Subscription) -> bool:
        """End a subscription here; False where the channel is not its own any more."""
        channel = subscription.channel
        if self._subscriptions.get(channel) is not subscription:
            return False
        del self._subscriptions[channel]
        subscription.end()
        polling = self._polling.pop(channel, None)
        if polling is not None:
            polling.cancel()
        return True

    def _leave(self, subscription: Subscription) -> asyncio.Future[Reply] | None:
        """End a subscription and tell the hub, whose reply need not be waited for."""
        if not self._forget(subscription) or self._session is None:
            return None
        return self._session.unsubscribe(subscription.channel)

    def _check_running(self) -> None:
        self._home.check()
        if self._failure is not None:
            raise self._failure
        if self._task is None:
            raise RealtimeError("the client is not running; use it with: async with")

    async def _run(self) -> None:
        try:
            while True:
                found = await self._connect()
                if found is None:
                    if self._api is None:
                        raise RealtimeError(
                            f"no hub can be reached after {self._settings.attempts} attempts; check"
                            " that they run and that the addresses are right"
                        )
                    found = await self._degraded(self._api)
                await self._serve(*found)
        except RealtimeError as error:
            self._end("failed", error)
        except Exception as error:  # noqa: BLE001 - a defect, shown to all who wait
            _LOG.exception("the client fails by a defect")
            self._end("failed", _defect(error))

    async def _connect(self) -> tuple[str, ClientSocket] | None:
        """A connection; None when no attempt is left."""
        first = not self._track.outages and not self._backoff.used
        while True:
            delay_s = 0.0 if first else self._backoff.next_delay()
            if delay_s is None:
                return None
            first = False
            await asyncio.sleep(delay_s)
            found = await self._attempt()
            if found is not None:
                return found

    async def _attempt(self) -> tuple[str, ClientSocket] | None:
        self._track.attempt()
        try:
            token = await self._token.get()
        except ConnectFailed:
            return None
        url = self._endpoints.choose(self._loop.time())
        try:
            return url, await open_socket(url, token, self._settings.connect_timeout_s)
        except TokenRefused:
            if not self._token.refused():
                raise
            return None
        except ConnectFailed as error:
            self._endpoints.failed(url, self._loop.time(), retry_after_s=error.retry_after_s)
            return None

    async def _serve(self, url: str, socket: ClientSocket) -> None:
        """Use a connection until it is lost."""
        self._backoff.connected(self._loop.time())
        session = Session(
            socket,
            self._subscriptions,
            self._outgoing,
            self._ids,
            welcomed=lambda load: self._endpoints.connected(url, load),
            served=lambda: self._track.back("connected", url),
        )
        self._session = session
        try:
            reason = await session.run()
        finally:
            self._session = None
        now = self._loop.time()
        self._track.lost(socket.heard_at, url, reason)
        self._backoff.lost(now)
        self._endpoints.failed(url, now, retry_after_s=session.draining_s or 0.0)
        if session.draining_s:
            # all clients of the hub were told at the same moment
            await asyncio.sleep(float(self._rng.uniform(0, _MOVE_SHARE * session.draining_s)))

    async def _degraded(self, api: str) -> tuple[str, ClientSocket]:
        """Poll until a connection can be had again."""
        poller = self._poller = Poller(
            api, self._bearer, wait_s=self._settings.poll_wait_s, transport=self._transport
        )
        answered = [self._poll(one, asyncio.Event()) for one in self._subscriptions.values()]
        told = self._loop.create_task(self._when_served(answered))
        try:
            while True:
                longest_s = self._settings.upgrade_s
                await asyncio.sleep(float(self._rng.uniform(longest_s / 2, longest_s)))
                found = await self._attempt()
                if found is not None:
                    return found
        finally:
            self._poller = None
            tasks = [told, *self._polling.values()]
            self._polling.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await poller.close()

    def _poll(self, subscription: Subscription, first: asyncio.Event) -> asyncio.Event:
        if self._poller is not None:
            task = self._loop.create_task(self._poller.follow(subscription, first))
            self._polling[subscription.channel] = task
            task.add_done_callback(lambda ended: self._polled(subscription, first, ended))
        return first

    @staticmethod
    def _polled(
        subscription: Subscription, first: asyncio.Event, ended: asyncio.Task[None]
    ) -> None:
        """Tell whoever reads a channel where polling it ended by itself."""
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            _LOG.error("polling %r fails by a defect", subscription.channel, exc_info=error)
            subscription.end(error if isinstance(error, RealtimeError) else _defect(error))
            first.set()

    async def _when_served(self, answered: Sequence[asyncio.Event]) -> None:
        for event in answered:
            await event.wait()
        self._track.back("degraded", "polling the API")

    def _end(self, state: State, error: RealtimeError) -> None:
        self._failure = self._failure or error
        for subscription in self._subscriptions.values():
            subscription.end(error if state == "failed" else None)
        self._subscriptions.clear()
        self._outgoing.close(error)
        self._track.to(state, str(error))


def _json(value: object) -> bytes:
    try:
        return _encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        kind = type(value).__name__
        raise RealtimeError(f"a value of type {kind} cannot be published: {error}") from None


def _defect(error: BaseException) -> RealtimeError:
    return RealtimeError(
        f"the client failed by a defect, {type(error).__name__}: {error}; make another one and"
        " report it"
    )
