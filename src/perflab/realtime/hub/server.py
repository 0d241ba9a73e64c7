"""A hub: accepts WebSockets up to a limit, watches them, and leaves in an orderly way."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from http import HTTPStatus
from typing import Any, Final, cast

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from perflab.arguments import check_function, check_hook, check_kind, check_seconds, check_whole
from perflab.own_loop import OwnLoop
from perflab.ratelimit.algorithms import METERS
from perflab.realtime.access import Access, own_or_shared
from perflab.realtime.errors import RealtimeError
from perflab.realtime.heartbeat import PingWheel
from perflab.realtime.hub.connection import HubConnection
from perflab.realtime.hub.fanout import Fanout
from perflab.realtime.hub.lobby import Lobby
from perflab.realtime.hub.requests import Requests
from perflab.realtime.hub.rooms import Rooms
from perflab.realtime.hub.settings import Authenticate, HubSettings
from perflab.realtime.hub.stats import Counters, HubStats
from perflab.realtime.log import ChannelLog
from perflab.realtime.protocol import SUBPROTOCOL, Draining, Welcome

_LOG: Final = logging.getLogger(__name__)
_LOG.addHandler(logging.NullHandler())
_CLOSE_S: Final = 2.0
"""For the closing handshake of a client that may not answer."""
_REQUESTS_QUEUED: Final = 4
_BACKLOG: Final = 2_048


class Hub:
    """One endpoint of the real-time service, in an event loop of its own process.

    Hubs that share a Redis and a prefix serve the same channels. Used with ``async with``.

    Args:
        redis: its URL.
        authenticate: names the user of a token.
        settings: sizes and times.
        prefix: of the channels' keys, the publishers' too.
        access: who may do what. Where it raises, that request is refused and the log says why.
        host: to listen on.
        port: 0 for any that is free.
        history: further arguments of ``ChannelLog``, the publishers' too.

    Raises:
        RealtimeError: an argument has no usable value, or the port cannot be listened on.
    """

    def __init__(
        self,
        redis: str,
        authenticate: Authenticate,
        settings: HubSettings | None = None,
        *,
        prefix: str = "perflab:channels:",
        access: Access = own_or_shared,
        host: str = "127.0.0.1",
        port: int = 0,
        **history: Any,
    ) -> None:
        self._home = OwnLoop("Hub", RealtimeError)
        self._home.check()
        _check_hooks(authenticate, access)
        if settings is not None:
            check_kind("settings", settings, HubSettings, RealtimeError)
        check_kind("host", host, str, RealtimeError)
        check_whole("port", port, RealtimeError, least=0, most=65_535)
        self._settings = settings or HubSettings()
        self._authenticate = authenticate
        self._host = host
        self._port = port
        self._counters = Counters()
        self._loop = asyncio.get_running_loop()
        self._wheel: PingWheel[HubConnection] = PingWheel(
            heartbeat_s=self._settings.heartbeat_s, timeout_s=self._settings.timeout_s
        )
        self._log = ChannelLog(redis, prefix=prefix, **history)
        self._fanout = Fanout(self._settings, self._counters, self._too_slow)
        self._rooms = Rooms(self._log, redis, self._fanout, self._counters)
        self._requests = Requests(
            self._settings, self._counters, self._log, self._rooms, self._fanout, access
        )
        self._lobby: Lobby[HubConnection] = Lobby(self._settings.max_handshakes)
        self._connections: dict[HubConnection, None] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._server: Server | None = None
        self._watch: asyncio.Task[None] | None = None
        self._draining = False

    async def __aenter__(self) -> Hub:
        self._home.check()
        if self._draining or self._server is not None:
            raise RealtimeError("a hub is opened once; make another one")
        try:
            self._server = await serve(
                self._serve,
                self._host,
                self._port,
                create_connection=self._arriving,  # type: ignore[arg-type]
                process_request=self._admit,
                subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
                select_subprotocol=_subprotocol,
                compression=None,
                open_timeout=self._settings.open_s,
                close_timeout=_CLOSE_S / 2,
                ping_interval=None,
                max_size=self._settings.most_bytes,
                max_queue=_REQUESTS_QUEUED,
                server_header=None,
                logger=_LOG,
                backlog=_BACKLOG,
            )
        except OSError as error:
            await self._log.close()
            raise RealtimeError(
                f"cannot listen on {self._host}:{self._port}: {error.strerror}; choose another port"
            ) from None
        self._rooms.start()
        self._watch = self._loop.create_task(self._watch_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain(0.0)

    @property
    def url(self) -> str:
        """Where clients connect to."""
        if self._server is None:
            raise RealtimeError("the hub is not running; use it with: async with Hub(…) as hub")
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"ws://{host}:{port}"

    def stats(self) -> HubStats:
        """Counts so far."""
        waiting = [one.outbox for one in self._connections if one.outbox is not None]
        counts = self._counters.by_name()
        counts["dropped"] += sum(outbox.dropped for outbox in waiting)
        return HubStats(
            connections=len(self._connections),
            channels=len(self._rooms),
            subscriptions=self._rooms.subscriptions,
            queued=sum(outbox.messages for outbox in waiting),
            losses=self._rooms.losses,
            refused_handshake=self._lobby.turned_away,
            **counts,
        )

    async def drain(self, within_s: float) -> None:
        """Accept nobody, ask everyone to move, flush, and close what is left with 1012.

        Raises:
            RealtimeError: ``within_s`` is no time.
        """
        check_seconds("within_s", within_s, RealtimeError, zero=True)
        if self._server is None:
            return
        server, self._server = self._server, None
        self._draining = True
        server.close(close_connections=False)
        for connection in tuple(self._connections):
            self._fanout.tell(connection, Draining(within_s))
        ends_at = self._loop.time() + within_s
        while self._connections and self._loop.time() < ends_at:
            await asyncio.sleep(min(0.02, within_s))
        self._fanout.finish()
        for connection in tuple(self._connections):
            self._close(connection, CloseCode.SERVICE_RESTART, "this hub shuts down")
        await server.wait_closed()
        await asyncio.gather(*self._closing, return_exceptions=True)
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        self._fanout.stop()
        await self._rooms.close()
        await self._log.close()

    def _arriving(self, *args: Any, **options: Any) -> HubConnection:
        return HubConnection(*args, lobby=self._lobby, **options)

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Whether the handshake may go on; whoever is admitted takes a place at once."""
        connection = cast("HubConnection", connection)
        if self._is_full():
            return self._sent_away()
        user = await self._authenticate(_bearer(request.headers))
        if user is None:
            self._counters.refused_token += 1
            fields = {"WWW-Authenticate": 'Bearer realm="perflab"'}
            return _response(HTTPStatus.UNAUTHORIZED, "send a good token", fields)
        if not isinstance(user, str):
            # answered with 500, and in the log
            raise TypeError(f"authenticate must give a text or None, not {type(user).__name__}")
        if self._is_full():  # by now
            return self._sent_away()
        if not connection.transport.is_closing():
            policy = self._settings.policy
            connection.admit(
                user,
                METERS[policy.algorithm](policy),
                queue_limit=self._settings.queue_limit,
                ended=self._ended,
            )
            self._connections[connection] = None
        return None

    def _is_full(self) -> bool:
        return self._draining or len(self._connections) >= self._settings.max_connections

    def _sent_away(self) -> Response:
        self._counters.refused_full += 1
        fields = {"Retry-After": str(self._settings.retry_after_s)}
        why = "shuts down" if self._draining else "is full"
        return _response(HTTPStatus.SERVICE_UNAVAILABLE, f"this hub {why}", fields)

    async def _serve(self, connection: ServerConnection) -> None:
        connection = cast("HubConnection", connection)
        self._lobby.leave(connection)
        self._counters.opened += 1
        self._wheel.add(connection)
        if not connection.is_open:
            self._ended(connection)
            return
        load = len(self._connections) / self._settings.max_connections
        welcome = Welcome(self._settings.heartbeat_s, self._settings.timeout_s, round(load, 3))
        self._fanout.tell(connection, welcome)
        with contextlib.suppress(ConnectionClosed):
            await self._requests.serve(connection)

    def _ended(self, connection: HubConnection) -> None:
        self._connections.pop(connection, None)
        self._wheel.remove(connection)
        self._rooms.ended(connection)
        self._fanout.ended(connection)

    async def _watch_all(self) -> None:
        while True:
            await asyncio.sleep(self._wheel.tick_s)
            due, dead = self._wheel.tick(self._loop.time())
            for connection in dead:
                self._counters.dead += 1
                connection.cut_off()
            for connection in due:
                connection.ask()
            self._rooms.sweep()

    def _too_slow(self, connection: HubConnection) -> None:
        if connection.is_open:
            self._counters.slow += 1
            self._close(connection, CloseCode.POLICY_VIOLATION, "too slow to follow")

    def _close(self, connection: HubConnection, code: CloseCode, reason: str) -> None:
        """Close it, in the background: its client may take its time, up to a limit."""

        async def close() -> None:
            try:
                # the library's own limit does not cover a socket that takes nothing
                async with asyncio.timeout(_CLOSE_S):
                    await connection.close(code, reason)
            except TimeoutError:
                connection.cut_off()

        task = self._loop.create_task(close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _check_hooks(authenticate: Authenticate, access: Access) -> None:
    check_function("authenticate", authenticate, RealtimeError)
    why = "which would allow everything; give a plain one that decides by what is at hand"
    check_hook("access", access, RealtimeError, why)


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _subprotocol(connection: ServerConnection, offered: Any) -> Any:
    """The protocol if it is offered; a client that offers none may come too."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


def _response(status: HTTPStatus, text: str, fields: dict[str, str]) -> Response:
    body = f"{text}\n".encode()
    headers = Headers(
        {
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **fields,
        }
    )
    return Response(status.value, status.phrase, headers, body)
