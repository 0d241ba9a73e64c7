"""The connections to Redis or Redis Cluster: commands in, raw replies out."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import hiredis
import redis.asyncio
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from perflab.errors import PerflabError
from perflab.redis_link.scripts import Command, in_full

FAILURES: Final = (RedisError, RedisClusterException, OSError, asyncio.TimeoutError)
"""What a server that is down, lost, slow or unwilling makes the client raise."""

_MAX_CONNECTIONS: Final = 64
_DATABASE: Final = re.compile(r"/?|/\d+")
_UNUSABLE: Final = (ValueError, TypeError, AttributeError, RedisError, RedisClusterException)
"""What redis-py raises for URLs."""


class RedisUrlError(PerflabError):
    """A Redis URL cannot be used; the message gives its form and nothing of its content."""


class Link(Protocol):
    """What is needed of a server. ``call`` and ``run`` raise one of FAILURES."""

    where: str
    """Address for messages, without credentials."""
    cluster: bool
    closed: bool
    """Whether ``close`` was called: redis-py would connect again by itself."""
    client: Any
    """The redis-py client, for what is asked rarely."""

    async def call(self, command: Command) -> Any:
        """The reply to one command whose keys share a slot; an error reply is raised."""
        ...

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands sent in one go; an error reply is an exception in the list."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


def open_link(
    url: str, *, cluster: bool, timeout_s: float, error: type[PerflabError] = RedisUrlError
) -> Link:
    """A link to the server of ``url``; nothing is connected yet.

    Retrying is off: who waits for a server longer than its answer is worth is worse off than
    without it. ``timeout_s`` is for connecting; an ``error`` says what a URL must look like.
    """
    if not cluster:
        return _ServerLink(open_client(url, timeout_s=timeout_s, error=error))
    options = _options(timeout_s) | {"max_connections": _MAX_CONNECTIONS}
    try:
        _check_url(url, cluster=True)
        return _ClusterLink(redis.asyncio.RedisCluster.from_url(url, **options))
    except _UNUSABLE:
        raise _unusable(error) from None


def open_client(url: str, *, timeout_s: float, error: type[PerflabError] = RedisUrlError) -> Any:
    """redis-py's client of the server of ``url``, or of one node; as ``open_link`` otherwise."""
    options = _options(timeout_s) | {"max_connections": _MAX_CONNECTIONS}
    try:
        if "path" in _check_url(url, cluster=False):
            del options["socket_keepalive"]  # a Unix socket has none
        client: Any = redis.asyncio.Redis.from_url(url, **options)
        client.connection_pool.make_connection()  # refuses unknown options, and connects nowhere
    except _UNUSABLE:
        raise _unusable(error) from None
    return client


def _options(timeout_s: float) -> dict[str, Any]:
    return {
        # redis-py's own timeout costs a task a command; callers bound everything themselves
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }


def _check_url(url: str, *, cluster: bool) -> dict[str, Any]:
    """What redis-py reads out of the URL; a ValueError where it would overlook a part of it."""
    if not isinstance(url, str):
        raise TypeError
    found = dict(parse_url(url))
    parts = urlsplit(url)
    if parts.scheme == "unix":
        usable = not cluster and parts.hostname is None and len(parts.path) > 1
    else:
        usable = url.partition(":")[2].startswith("//") and bool(_DATABASE.fullmatch(parts.path))
    if not usable or parts.fragment or (cluster and found.get("db")):
        raise ValueError
    return found


def _unusable(error: type[PerflabError]) -> PerflabError:
    # the reason may hold a part of the password
    return error(
        "the Redis URL cannot be used; its form is redis://user:password@host:port/db, with"
        " special characters of the password percent-encoded, and no db for a cluster; rediss://"
        " for TLS; unix://user:password@/path?db=0 for a socket"
    )


def reason(error: BaseException) -> str:
    """One line of why the server did not do something; never a credential."""
    lines = str(error).splitlines()
    return lines[0] if isinstance(error, RedisError) and lines else type(error).__name__


class _ServerLink:
    cluster = False

    def __init__(self, client: Any) -> None:
        self.client = client
        self.closed = False
        self._idle: list[Any] = []
        given = client.connection_pool.connection_kwargs
        self.where = (
            given.get("path") or f"{given.get('host', 'localhost')}:{given.get('port', 6379)}"
        )

    async def call(self, command: Command) -> Any:
        try:
            return await self._sent(command)
        except NoScriptError:
            return await self._sent(in_full(command))

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        return await _with_scripts(self._pipelined, commands)

    async def close(self) -> None:
        self.closed = True
        await self.client.aclose()

    async def _sent(self, command: Command) -> Any:
        # The client's own path packs each argument in Python, and to take a connection from its
        # pool and give it back costs more than the command: what was taken once is kept here. The
        # pool goes on counting it, and closes it with the others.
        _check_open(self)
        pool = self.client.connection_pool
        connection = self._idle.pop() if self._idle else await pool.get_connection()
        try:
            await pool.ensure_connection(connection)  # connects again where it was closed
            await connection.send_packed_command(hiredis.pack_command(command))  # type: ignore[arg-type]
            return await connection.read_response()
        except ReadOnlyError:
            # a primary that became a replica: the address may lead to another server by now
            await connection.disconnect()
            raise
        finally:
            self._idle.append(connection)  # one that failed was closed, and connects again

    async def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        _check_open(self)
        async with self.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))


class _ClusterLink:
    """The client sends commands of one node together."""

    cluster = True

    def __init__(self, client: Any) -> None:
        self.client = client
        self.closed = False
        node = client.get_nodes() or list(client.nodes_manager.startup_nodes.values())
        self.where = f"cluster at {node[0].host}:{node[0].port}"

    async def call(self, command: Command) -> Any:
        (reply,) = await self.run([command])
        if isinstance(reply, BaseException):
            raise reply
        return reply

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        replies = await _with_scripts(self._pipelined, commands)
        for reply in replies:
            if isinstance(reply, FAILURES) and not isinstance(reply, ResponseError):
                raise reply
        return replies

    async def close(self) -> None:
        self.closed = True
        await self.client.aclose()

    async def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        _check_open(self)
        pipe = self.client.pipeline()
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))


def _check_open(link: Link) -> None:
    if link.closed:
        raise RedisConnectionError("the connections were closed")


async def _with_scripts(pipelined: Any, commands: Sequence[Command]) -> list[Any]:
    """Run commands; those whose script the server has lost once more, with its text."""
    replies: list[Any] = await pipelined(commands)
    unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        again = await pipelined([in_full(commands[n]) for n in unknown])
        for n, reply in zip(unknown, again, strict=True):
            replies[n] = reply
    return replies
