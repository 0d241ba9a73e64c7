"""A collection: what every list of a user's own rows offers, and below it each row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from perflab.api.bodies import Body, Query, RowId
from perflab.api.routing import Operation, Resource

Q = TypeVar("Q")
N = TypeVar("N")
C = TypeVar("C")
Q_in = TypeVar("Q_in", contravariant=True)
N_in = TypeVar("N_in", contravariant=True)
C_in = TypeVar("C_in", contravariant=True)


class Rows(Protocol[Q_in, N_in, C_in]):
    """The five endpoints; the first line of each one's documentation is told to clients."""

    async def list(self, request: Request, query: Q_in, /) -> Response:
        """A page of them."""

    async def create(self, request: Request, new: N_in, /) -> Response:
        """One more."""

    async def get(self, request: Request, /) -> Response:
        """One of them."""

    async def change(self, request: Request, change: C_in, /) -> Response:
        """One with some fields changed."""

    async def delete(self, request: Request, /) -> Response:
        """The end of one."""


def collection(
    path: str,
    rows: Rows[Q, N, C],
    *,
    query: type[Q],
    page: type,
    row: type,
    new: Body[N],
    change: Body[C],
    item: str = "id",
    within: Sequence[str] = (),
    problems: Sequence[int] = (),
) -> list[Resource]:
    """The routes of a list and of its rows.

    Args:
        path: of the list.
        rows: the endpoints.
        query: what a request for a page may say.
        page: what it is answered.
        row: what one row is answered as.
        new: reads a new one, which is made once under an ``Idempotency-Key``.
        change: reads a change.
        item: the parameter that names a row below ``path``.
        within: the parameters of ``path`` itself; all are ids.
        problems: further statuses with which making one may end.
    """
    above = dict.fromkeys(within, RowId)
    listed = Operation(rows.list, {200: page}, takes=Query(query))
    made = Operation(rows.create, {201: row}, takes=new, repeatable=True, problems=problems)
    return [
        Resource(path, {"GET": listed, "POST": made}, above),
        Resource(
            f"{path}/{{{item}}}",
            {
                "GET": Operation(rows.get, {200: row}),
                "PATCH": Operation(rows.change, {200: row}, takes=change),
                "DELETE": Operation(rows.delete, {204: None}),
            },
            {**above, item: RowId},
        ),
    ]
