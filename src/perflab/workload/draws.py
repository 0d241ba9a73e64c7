"""A query's parameters bound to the loaded data: what one call is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import psycopg

from perflab.workload.file import Query, Workload
from perflab.workload.generators import RANKED_MAX, Draw, make, ranked
from perflab.workload.load import server_words

LABEL = "selectivity"
"""A column of ``rows`` with this name labels the call and is no parameter."""
LABELS = ("light", "typical", "heavy")


class Drawn(msgspec.Struct, frozen=True):
    """Parameters of one call and how much of the data they touch."""

    params: dict[str, object]
    selectivity: str


Drawer = Callable[[np.random.Generator], Drawn]


def bind(conn: psycopg.Connection, workload: Workload, query: Query) -> Drawer:
    """Read what ``query`` draws from the data and return its drawer.

    The same data and seed give the same parameters if the file's own queries have an order.
    A ConfigError for a query that fails or yields nothing, and for columns that do not fit.
    """
    draws: dict[str, Draw] = {}
    for name, spec in query.parameters.items():
        values: Sequence[object] = ()
        if spec.sql is not None:
            steps = (*query.steps, "parameters", name)
            columns, rows = _pool(conn, workload, steps, spec.sql)
            if len(columns) != 1:
                raise workload.error(
                    steps,
                    f"its sql has {len(columns)} columns, a parameter takes one; "
                    "several belong under [[query.rows]]",
                )
            values = [row[0] for row in rows]
        draws[name] = make(spec, values)
    tuples = [_rows(conn, workload, query, number) for number in range(len(query.rows))]
    given = [*draws, *(name for names, _ in tuples for name in names if name != LABEL)]
    _check_names(workload, query, given)

    def draw(rng: np.random.Generator) -> Drawn:
        params = {name: generator(rng) for name, generator in draws.items()}
        for names, pick in tuples:
            params.update(zip(names, pick(rng), strict=True))
        return Drawn(params=params, selectivity=str(params.pop(LABEL, query.selectivity)))

    return draw


def _rows(
    conn: psycopg.Connection, workload: Workload, query: Query, number: int
) -> tuple[tuple[str, ...], Callable[[np.random.Generator], tuple[object, ...]]]:
    """The columns of one ``[[query.rows]]`` and what picks one of its rows."""
    steps = (*query.steps, "rows", number)
    rows = query.rows[number]
    columns, found = _pool(conn, workload, (*steps, "sql"), rows.sql)
    if LABEL in columns:
        at = columns.index(LABEL)
        wrong = next((row[at] for row in found if row[at] not in LABELS), None)
        if wrong is not None:
            raise workload.error(
                (*steps, "sql"), f"selectivity {wrong!r}: give one of {', '.join(LABELS)}"
            )
    rank = ranked(len(found), rows.distribution, rows.skew)
    return columns, lambda rng: found[rank(rng)]


def _check_names(workload: Workload, query: Query, given: Sequence[str]) -> None:
    """Every placeholder has one source, and every column of ``rows`` is a placeholder."""
    where = (*query.steps, "rows")
    for name in given:
        if given.count(name) > 1:
            raise workload.error(where, f"{name!r} is given twice; rename or remove a column")
        if name not in query.placeholders:
            raise workload.error(
                where,
                f"column {name!r} is no parameter of the query; name it AS one of "
                f"{', '.join(query.placeholders) or 'none'}, or leave it out",
            )
    for name in query.placeholders:
        if name not in given:
            raise workload.error(
                (*query.steps, query.key),
                f"%({name})s has no generator and is no column of rows; add one",
            )


def _pool(
    conn: psycopg.Connection, workload: Workload, steps: tuple[str | int, ...], sql: str
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Columns and rows of a query over the data, read in the order in which they lie."""
    text = sql.strip().removesuffix(";")
    try:
        with conn.transaction(), conn.cursor("perflab_pool") as cursor:
            for name, value in (
                ("transaction_read_only", "on"),
                ("statement_timeout", str(workload.timeout_ms)),
                # else scans start anywhere, and workers hand in rows as they come
                ("synchronize_seqscans", "off"),
                ("max_parallel_workers_per_gather", "0"),
            ):
                conn.execute("SELECT set_config(%s, %s, true)", [name, value])
            cursor.execute(text.encode())
            found = cursor.fetchmany(RANKED_MAX + 1)
            columns = tuple(column.name for column in cursor.description or ())
    except psycopg.Error as error:
        raise workload.error(
            steps, f"its sql must be one query over the data: {said(error, workload)}"
        ) from None
    if not found:
        raise workload.error(steps, "its sql yields no row; there is nothing to draw from")
    if len(found) > RANKED_MAX:
        raise workload.error(
            steps, f"its sql yields more than {RANKED_MAX:,} rows; sample them or add LIMIT"
        )
    return columns, found


def said(error: psycopg.Error, workload: Workload) -> str:
    """The server's words, or what to do about a statement that took too long."""
    if isinstance(error, psycopg.errors.QueryCanceled):
        return f"takes longer than timeout_s = {workload.timeout_s:g}; raise it or ask for less"
    return server_words(error)
