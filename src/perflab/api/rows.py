"""One table's rows as a Struct: the statements that the endpoints' stores are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec
from psycopg import sql
from psycopg.rows import class_row

from perflab.api.paging import Place
from perflab.database.pool import Connection

R = TypeVar("R", bound=msgspec.Struct)

Parameters: TypeAlias = Mapping[str, Any]

_NOTHING: Final[Sequence[sql.Composable]] = ()
_NO_LOCK: Final = sql.SQL("")


class Order(NamedTuple):
    """What a list is sorted by; the id decides between equal rows, in the same direction."""

    expression: sql.Composable
    down: bool
    bound: sql.Composable = sql.SQL("%(value)s")
    """A cursor's value in the expression's type."""


class Where(NamedTuple):
    """Which rows: conditions that all must hold, with named parameters."""

    conditions: Sequence[sql.Composable]
    parameters: Parameters

    def narrowed(self, conditions: Sequence[sql.Composable], parameters: Parameters) -> Where:
        """Those of the rows for which these hold too."""
        return Where([*self.conditions, *conditions], {**self.parameters, **parameters})

    def clause(self) -> sql.Composable:
        """As it stands behind WHERE."""
        return sql.SQL(" AND ").join(self.conditions)


def equal(**values: object) -> Where:
    """The rows that have these values in these columns."""
    return Where([_assignment(name) for name in values], values)


class Rows(Generic[R]):
    """The rows of a table.

    Args:
        table: its name.
        row: a Struct whose fields are columns of the table.
    """

    def __init__(self, table: str, row: type[R]) -> None:
        self._table = sql.Identifier(table)
        self._row = row
        self._columns = sql.SQL(", ").join(map(sql.Identifier, row.__struct_fields__))

    async def get(
        self, conn: Connection, where: Where, lock: sql.Composable = _NO_LOCK
    ) -> R | None:
        """The row; None if there is none. ``lock`` is what follows the conditions."""
        statement = sql.SQL("SELECT {} FROM {} WHERE {} {}").format(
            self._columns, self._table, where.clause(), lock
        )
        return _only(await self._fetch(conn, statement, where.parameters))

    async def page(
        self, conn: Connection, where: Where, order: Order, after: Place | None, limit: int
    ) -> list[R]:
        """Up to ``limit`` + 1 rows behind a place: the last one only says that there are more."""
        conditions, parameters = where.clause(), dict(where.parameters)
        parameters["size"] = limit + 1
        if after is not None:
            parameters |= after._asdict()
            conditions += sql.SQL(" AND ({}, id) {} ({}, %(id)s)").format(
                order.expression, sql.SQL("<" if order.down else ">"), order.bound
            )
        statement = sql.SQL(
            "SELECT {} FROM {} WHERE {} ORDER BY {order} {way}, id {way} LIMIT %(size)s"
        ).format(
            self._columns,
            self._table,
            conditions,
            order=order.expression,
            way=sql.SQL("DESC" if order.down else "ASC"),
        )
        return await self._fetch(conn, statement, parameters)

    async def insert(self, conn: Connection, **values: object) -> R:
        """The row, created."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING {}").format(
            self._table,
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(map(sql.Placeholder, values)),
            self._columns,
        )
        [made] = await self._fetch(conn, statement, values)
        return made

    async def update(
        self,
        conn: Connection,
        where: Where,
        values: Parameters,
        computed: Sequence[sql.Composable] = _NOTHING,
    ) -> R | None:
        """The row, changed; None if there is none.

        ``computed`` are further assignments, which may use the parameters by name.
        """
        assigned = [*map(_assignment, values), *computed]
        statement = sql.SQL("UPDATE {} SET {} WHERE {} RETURNING {}").format(
            self._table, sql.SQL(", ").join(assigned), where.clause(), self._columns
        )
        return _only(await self._fetch(conn, statement, {**values, **where.parameters}))

    async def delete(self, conn: Connection, where: Where) -> R | None:
        """The row that is no more; None if there was none."""
        statement = sql.SQL("DELETE FROM {} WHERE {} RETURNING {}").format(
            self._table, where.clause(), self._columns
        )
        return _only(await self._fetch(conn, statement, where.parameters))

    async def _fetch(
        self, conn: Connection, statement: sql.Composed, parameters: Parameters
    ) -> list[R]:
        async with conn.cursor(row_factory=class_row(self._row)) as cursor:
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()


def _only(found: list[R]) -> R | None:
    return found[0] if found else None


def _assignment(name: str) -> sql.Composable:
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
