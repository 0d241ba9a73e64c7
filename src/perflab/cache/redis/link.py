"""The cache's connections: many names in as few commands as the server allows, and purges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perflab.cache.entry import CacheError
from perflab.redis_link import Link, by_slot

_NAMES_AT_ONCE: Final = 1_000
"""That one UNLINK takes, so that it does not block the server for long."""


class RedisUnavailable(CacheError):
    """The server does not answer, or refuses; the message says which server and why."""


async def mget(link: Link, names: Sequence[str]) -> dict[str, bytes | None]:
    """The strings under these names, None where there is none; raises one of FAILURES."""
    if not link.cluster:
        return dict(zip(names, await link.call(("MGET", *names)), strict=True))
    groups = by_slot(names)
    found: dict[str, bytes | None] = {}
    replies = await link.run([("MGET", *group) for group in groups])
    for group, values in zip(groups, replies, strict=True):
        if isinstance(values, BaseException):
            raise values
        found.update(zip(group, values, strict=True))
    return found


async def purge(link: Link, names: Sequence[str], channel: str, messages: Sequence[bytes]) -> None:
    """Delete the names, then publish the messages; on a single server both or nothing.

    Raises one of FAILURES.
    """
    if not link.cluster:
        async with link.client.pipeline(transaction=True) as pipe:
            for start in range(0, len(names), _NAMES_AT_ONCE):
                pipe.execute_command("UNLINK", *names[start : start + _NAMES_AT_ONCE])
            for message in messages:
                pipe.execute_command("PUBLISH", channel, message)
            await pipe.execute()
        return
    for reply in await link.run([("UNLINK", *group) for group in by_slot(names)]):
        if isinstance(reply, BaseException):
            raise reply
    for message in messages:
        await link.client.execute_command("PUBLISH", channel, message)
