"""The connections to Redis or Redis Cluster: commands in, raw replies out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import hiredis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
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


class RedisUrlError(PerflabError):
    """A Redis URL cannot be used; the message gives its form and nothing of its content."""


class Link(Protocol):
    """What is needed of a server. ``call`` and ``run`` raise one of FAILURES."""

    where: str
    """Address for messages, without credentials."""
    cluster: bool
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
    options: dict[str, Any] = {
        # redis-py's own timeout costs a task a command; callers bound everything themselves
        "socket_timeout": None,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": _MAX_CONNECTIONS,
        "protocol": 2,
    }
    try:
        if cluster:
            return _ClusterLink(redis.asyncio.RedisCluster.from_url(url, **options))
        return _ServerLink(redis.asyncio.Redis.from_url(url, **options))
    except (ValueError, TypeError, AttributeError, RedisError, RedisClusterException):
        # the reason may hold a part of the password
        raise error(
            "the Redis URL cannot be used; its form is redis://user:password@host:port/db, with"
            " special characters of the password percent-encoded, and no db for a cluster"
        ) from None


def reason(error: BaseException) -> str:
    """One line of why the server did not do something; never a credential."""
    lines = str(error).splitlines()
    return lines[0] if isinstance(error, RedisError) and lines else type(error).__name__


class _ServerLink:
    cluster = False

    def __init__(self, client: Any) -> None:
        self.client = client
        self._idle: list[Any] = []
        given = client.connection_pool.connection_kwargs
        self.where = given.get("path") or f"{given.get('host')}:{given.get('port', 6379)}"

    async def call(self, command: Command) -> Any:
        try:
            return await self._sent(command)
        except NoScriptError:
            return await self._sent(in_full(command))

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        return await _with_scripts(self._pipelined, commands)

    async def close(self) -> None:
        await self.client.aclose()

    async def _sent(self, command: Command) -> Any:
        # The client's own path packs each argument in Python, and to take a connection from its
        # pool and give it back costs more than the command: what was taken once is kept here. The
        # pool goes on counting it, and closes it with the others.
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
        async with self.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))


class _ClusterLink:
    """The client sends commands of one node together."""

    cluster = True

    def __init__(self, client: Any) -> None:
        self.client = client
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
        await self.client.aclose()

    async def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        pipe = self.client.pipeline()
        for command in commands:
            pipe.execute_command(*command)
        return list(await pipe.execute(raise_on_error=False))


async def _with_scripts(pipelined: Any, commands: Sequence[Command]) -> list[Any]:
    """Run commands; those whose script the server has lost once more, with its text."""
    replies: list[Any] = await pipelined(commands)
    unknown = [n for n, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if unknown:
        again = await pipelined([in_full(commands[n]) for n in unknown])
        for n, reply in zip(unknown, again, strict=True):
            replies[n] = reply
    return replies
