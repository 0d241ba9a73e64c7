"""The connections to Redis or Redis Cluster: commands in, raw replies out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import hiredis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError

from perflab.cache.entry import CacheError
from perflab.cache.redis.keys import by_slot
from perflab.cache.redis.scripts import Command, in_full

FAILURES: Final = (RedisError, RedisClusterException, OSError, asyncio.TimeoutError)
"""What a server that is down, lost, slow or unwilling makes the client raise."""

_NAMES_AT_ONCE: Final = 1_000
"""That one UNLINK takes, so that it does not block the server for long."""
_MAX_CONNECTIONS: Final = 64


class RedisUnavailable(CacheError):
    """The server does not answer, or refuses; the message says which server and why."""


class Link(Protocol):
    """What the tier needs of a server. Every method raises one of FAILURES."""

    where: str
    """Address for messages, without credentials."""
    cluster: bool
    client: Any
    """The redis-py client, for what is asked rarely."""

    async def mget(self, names: Sequence[str]) -> dict[str, bytes | None]:
        """The strings under these names; None where there is none."""
        ...

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to commands sent in one go; an error reply is an exception in the list."""
        ...

    async def purge(self, names: Sequence[str], channel: str, messages: Sequence[bytes]) -> None:
        """Delete the names, then publish the messages."""
        ...

    async def close(self) -> None:
        """Give the connections back."""
        ...


def open_link(url: str, *, cluster: bool, timeout_s: float) -> Link:
    """A link to the server of ``url``; nothing is connected yet.

    Retrying is off: a cache that waits is worse than one that is not there.
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
    except (ValueError, TypeError, RedisError, RedisClusterException):
        # the reason may hold a part of the password
        raise CacheError(
            "the Redis URL cannot be used; its form is redis://user:password@host:port/db, with"
            " special characters of the password percent-encoded, and no db for a cluster"
        ) from None


class _ServerLink:
    cluster = False

    def __init__(self, client: Any) -> None:
        self.client = client
        given = client.connection_pool.connection_kwargs
        self.where = given.get("path") or f"{given.get('host')}:{given.get('port', 6379)}"

    async def mget(self, names: Sequence[str]) -> dict[str, bytes | None]:
        # the client's own path packs each argument in Python
        pool = self.client.connection_pool
        connection = await pool.get_connection()
        try:
            command = hiredis.pack_command(("MGET", *names))  # type: ignore[arg-type]
            await connection.send_packed_command(command)
            values = await connection.read_response()
        finally:
            await pool.release(connection)
        return dict(zip(names, values, strict=True))

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        return await _with_scripts(self._pipelined, commands)

    async def purge(self, names: Sequence[str], channel: str, messages: Sequence[bytes]) -> None:
        async with self.client.pipeline(transaction=True) as pipe:
            for start in range(0, len(names), _NAMES_AT_ONCE):
                pipe.execute_command("UNLINK", *names[start : start + _NAMES_AT_ONCE])
            for message in messages:
                pipe.execute_command("PUBLISH", channel, message)
            await pipe.execute()

    async def close(self) -> None:
        await self.client.aclose()

    async def _pipelined(self, commands: Sequence[Command]) -> list[Any]:
        async with self.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return list(await pipe.execute(raise_on_error=False))


class _ClusterLink:
    """Commands are grouped by slot; the client sends those of one node together."""

    cluster = True

    def __init__(self, client: Any) -> None:
        self.client = client
        node = client.get_nodes() or list(client.nodes_manager.startup_nodes.values())
        self.where = f"cluster at {node[0].host}:{node[0].port}"

    async def mget(self, names: Sequence[str]) -> dict[str, bytes | None]:
        groups = by_slot(names)
        replies = await self._pipelined([("MGET", *group) for group in groups])
        found: dict[str, bytes | None] = {}
        for group, values in zip(groups, replies, strict=True):
            if isinstance(values, BaseException):
                raise values
            found.update(zip(group, values, strict=True))
        return found

    async def run(self, commands: Sequence[Command]) -> list[Any]:
        replies = await _with_scripts(self._pipelined, commands)
        for reply in replies:
            if isinstance(reply, FAILURES) and not isinstance(reply, redis.ResponseError):
                raise reply
        return replies

    async def purge(self, names: Sequence[str], channel: str, messages: Sequence[bytes]) -> None:
        for reply in await self._pipelined([("UNLINK", *group) for group in by_slot(names)]):
            if isinstance(reply, BaseException):
                raise reply
        for message in messages:
            await self.client.execute_command("PUBLISH", channel, message)

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
