"""A cache around database queries: keyed by statement and parameters, purged by writes."""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

import sqlalchemy
from sqlalchemy.engine import Dialect

from perflab.arguments import check_function, check_kind
from perflab.cache.entry import CacheError
from perflab.cache.policy import QUERY, CachePolicy
from perflab.cache.statements import (
    Parameters,
    Statement,
    digest,
    normalised,
    tables_of,
    tables_of_text,
)
from perflab.cache.tiered import TieredCache

Execute: TypeAlias = Callable[[Any, Parameters], Awaitable[Any]]
"""Runs a statement, as it was given, with its parameters."""

POSTGRESQL: Final[Dialect] = sqlalchemy.make_url("postgresql+psycopg://").get_dialect()()


class QueryCache:
    """Reads go through the cache; writes go to the database and then purge what they changed.

    >>> queries = QueryCache(cache, read=fetch_all, write=execute_and_commit)
    ...     open_tasks = await queries.read("SELECT … FROM tasks WHERE user_id = %s", [17])
    ...     await queries.write("UPDATE tasks SET done = true WHERE id = %s", [4])

    Every entry carries a tag for each table that it was made from. Which these are is seen from
    the statement (see ``perflab.cache.statements`` for the rule and its limits) or named by the
    caller. Entries of a table that something else writes to are wrong for up to their TTL.

    Database:
        read: returns what a query returns: rows that the policy's codec can write. With the
            plain codec, tuples come back from Redis as lists and dates as strings; a policy
            with a typed ``Codec`` gives back what was put in.
        write: runs a statement and returns after it was committed.
        dialect: how SQLAlchemy statements are spelled for the key.
    Cache:
        policy: of the reads that do not name one.
        prefix: of the keys and tags.
    """

    def __init__(
        self,
        cache: TieredCache,
        *,
        read: Execute,
        write: Execute,
        policy: CachePolicy = QUERY,
        prefix: str = "query",
        dialect: Dialect = POSTGRESQL,
    ) -> None:
        check_kind("cache", cache, TieredCache, CacheError)
        check_kind("policy", policy, CachePolicy, CacheError)
        for name, run in (("read", read), ("write", write)):
            check_function(name, run, CacheError)
        self._cache = cache
        self._read = read
        self._write = write
        self._policy = policy
        self._prefix = prefix
        self._dialect = dialect
        self._spelled: weakref.WeakKeyDictionary[
            sqlalchemy.ClauseElement, tuple[str, dict[str, Any], frozenset[str]]
        ] = weakref.WeakKeyDictionary()

    async def read(
        self,
        statement: Statement,
        parameters: Parameters = None,
        *,
        tables: Iterable[str] | None = None,
        policy: CachePolicy | None = None,
    ) -> Any:
        """The rows, from the cache or else from the database.

        Args:
            statement: text or a SQLAlchemy statement. A statement object that is kept and used
                again is compiled once.
            parameters: its parameters; the key tells them apart by value and type.
            tables: that it reads, where the statement does not say so itself.
            policy: instead of the cache's own.
        """
        sql, bound, seen = self._look_at(statement)
        tags = self._tags(seen if tables is None else tables, sql)
        policy = policy or self._policy
        name = digest(sql, (bound, parameters) if bound else parameters)

        async def load() -> Any:
            return await self._read(statement, parameters)

        return await self._cache.get_or_load(
            f"{self._prefix}:{policy.name}:{name}",
            load,
            policy,
            tags,
        )

    async def write(
        self,
        statement: Statement,
        parameters: Parameters = None,
        *,
        tables: Iterable[str] | None = None,
    ) -> Any:
        """Write to the database, then purge what was read from the tables written to.

        They are purged when the write fails too: where a connection is lost during the commit,
        nobody knows whether it was done.
        """
        changed = tables_of(statement, written=True) if tables is None else tuple(tables)
        async with self.writing(*self._named(changed, str(statement))):
            return await self._write(statement, parameters)

    @asynccontextmanager
    async def writing(self, *tables: str) -> AsyncIterator[None]:
        """Purge these tables after the body, which commits a transaction of its own."""
        tags = self._tags(tables, "a transaction")
        try:
            yield
        finally:
            await self._cache.invalidate(tags=tags)

    def _look_at(self, statement: Statement) -> tuple[str, dict[str, Any], frozenset[str]]:
        """Its normalised text, the values bound in it, and the tables that it names."""
        if isinstance(statement, str):
            sql = normalised(statement)
            return sql, {}, tables_of_text(sql, written=False)
        looked_at = self._spelled.get(statement)
        if looked_at is None:
            compiled = statement.compile(dialect=self._dialect)
            sql = normalised(str(compiled))
            # a fragment of text in a FROM clause is no table to SQLAlchemy
            seen = tables_of(statement, written=False) | tables_of_text(sql, written=False)
            looked_at = sql, dict(compiled.params), seen
            self._spelled[statement] = looked_at
        return looked_at

    def _tags(self, tables: Iterable[str], what: str) -> list[str]:
        return [f"{self._prefix}:table:{table}" for table in self._named(tables, what)]

    @staticmethod
    def _named(tables: Iterable[str], what: str) -> list[str]:
        if isinstance(tables, str):
            raise CacheError(f"tables must be a collection of names, not the string {tables!r}")
        names = sorted(set(tables))
        if not names:
            shown = " ".join(what.split())[:60]
            raise CacheError(f"no table is seen in {shown!r}; name them with tables=...")
        return names
