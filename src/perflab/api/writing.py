"""Writes that are applied exactly once, and the cached reads that they make stale."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Awaitable, Callable, Collection
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from perflab.api.authentication import signed_in
from perflab.api.bodies import encode, json_response
from perflab.api.parts import Parts
from perflab.api.problems import Problem, no_such_thing
from perflab.api.routing import IDEMPOTENCY_KEY
from perflab.database.pool import Connection

R = TypeVar("R")

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class Stale(NamedTuple):
    """What a write makes stale in the cache."""

    keys: Collection[str] = ()
    tags: Collection[str] = ()


MakesStale = Callable[[R | None], Stale]
"""What a write of this row makes stale; None where nobody knows whether it was applied, which
must count as everything that it could."""


class Stored(msgspec.Struct, frozen=True):
    """What is stored under an idempotency key."""

    request: str
    """A hash of what was asked."""
    attempt: str
    """Of the request that was applied; another's is a repetition."""
    row: Any


class Writes:
    """Creates, changes and deletes rows, which clients are shown as they are."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def now(self) -> datetime:
        """The time that new and changed rows bear."""
        return datetime.fromtimestamp(self._parts.clock(), UTC)

    async def create(
        self,
        request: Request,
        new: msgspec.Struct,
        row: type[R],
        insert: Callable[[Connection], Awaitable[R]],
        *,
        location: Callable[[R], str],
        stale: MakesStale[R],
    ) -> Response:
        """201 with the new row; with ``Idempotency-Key`` once, however often it is asked for."""
        user_id = signed_in(request).user_id
        given = request.headers.get(IDEMPOTENCY_KEY)
        if given is not None and not _KEY.fullmatch(given):
            raise Problem(
                400, f"{IDEMPOTENCY_KEY} must be 1 to 255 printable characters, no blanks"
            )
        asked = hashlib.sha256(request.scope["path"].encode() + b"\n" + encode(new)).hexdigest()
        attempt = secrets.token_hex(16)

        async def work(conn: Connection) -> Any:
            return msgspec.to_builtins(Stored(asked, attempt, await insert(conn)))

        def read(outcome: Any) -> tuple[Stored, R]:
            stored = msgspec.convert(outcome, Stored)
            if stored.request != asked:
                raise Problem(422, f"this {IDEMPOTENCY_KEY} was used for another request")
            return stored, msgspec.convert(stored.row, row)

        key = _once() if given is None else _named(user_id, given)
        # a repetition purges too: whoever was first may have died before it did
        stored, made = await self._write(
            key, work, read, lambda found: stale(None if found is None else found[1])
        )
        response = json_response(encode(made), 201, cache_control="no-store")
        response.headers["location"] = location(made)
        if stored.attempt != attempt:
            response.headers["idempotency-replayed"] = "true"
        return response

    async def change(
        self,
        row: type[R],
        update: Callable[[Connection], Awaitable[R | None]],
        *,
        stale: MakesStale[R],
    ) -> Response:
        """The row as it is now; a 404 where ``update`` finds none."""
        changed = await self._apply(row, update, stale)
        return json_response(encode(changed), cache_control="no-store")

    async def delete(
        self,
        row: type[R],
        remove: Callable[[Connection], Awaitable[R | None]],
        *,
        stale: MakesStale[R],
    ) -> Response:
        """204; a 404 where ``remove`` finds nothing. It returns the row that is no more."""
        await self._apply(row, remove, stale)
        return Response(status_code=204)

    async def _apply(
        self, row: type[R], work: Callable[[Connection], Awaitable[R | None]], stale: MakesStale[R]
    ) -> R:
        async def found(conn: Connection) -> Any:
            one = await work(conn)
            if one is None:
                raise no_such_thing()
            return msgspec.to_builtins(one)

        return await self._write(_once(), found, lambda one: msgspec.convert(one, row), stale)

    async def _write(
        self,
        key: str,
        work: Callable[[Connection], Awaitable[Any]],
        read: Callable[[Any], R],
        stale: MakesStale[R],
    ) -> R:
        """Write, read the outcome and purge.

        Purges also where the write fails, since a lost connection leaves the fate of a commit
        unknown; not where it ends in a Problem, before which everything was rolled back.
        """
        try:
            row = read(await self._parts.pool.write(key, work))
        except Problem:
            raise
        except BaseException:
            await self._purge(stale(None))
            raise
        await self._purge(stale(row))
        return row

    async def _purge(self, stale: Stale) -> None:
        await self._parts.cache.invalidate(keys=stale.keys, tags=stale.tags)


def given_fields(change: msgspec.Struct) -> dict[str, object]:
    """The fields that are in the body of a PATCH; a 422 where there are none."""
    fields = msgspec.structs.asdict(change)
    given = {name: value for name, value in fields.items() if value is not msgspec.UNSET}
    if not given:
        raise Problem(422, "there is nothing to change in the body")
    return given


def _named(user_id: int, key: str) -> str:
    """A client's key as the pool stores it: each user has keys of their own."""
    return f"api:named:{user_id}:{hashlib.sha256(key.encode()).hexdigest()}"


def _once() -> str:
    """The key of a write that only this request can repeat."""
    return f"api:once:{secrets.token_hex(16)}"
