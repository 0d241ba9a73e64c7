"""Carries rows from a target into the copy, then whatever parents they lack, then keys and indexes.

All of it is read in one snapshot, so that a parent that a row names is there to be fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

import msgspec
import psycopg
from psycopg import sql

from perflab.advisor.copying import making
from perflab.advisor.copying.sampling import Part, rows_from
from perflab.advisor.copying.shape import Key, Shape
from perflab.advisor.errors import AdvisorError
from perflab.progress import Step

_KEYS_AT_ONCE = 5_000
_MOST_TIMES = 4
"""So many times the limit may come before copying gives up: some parents have many children."""


class Extent(msgspec.Struct, frozen=True):
    """How much of a target's tables is in the copy."""

    copied: dict[str, int]
    """Rows by table."""
    there: dict[str, int]
    """Rows on the target: counted where all of them came, else by its statistics."""
    whole: frozenset[str]
    """Tables of which every row came."""
    left_out: tuple[str, ...]
    """Keys and indexes that the copy does not have, and why."""

    @property
    def is_sample(self) -> bool:
        """Whether rows are missing."""
        return len(self.whole) < len(self.copied)

    @property
    def words(self) -> str:
        """``n of about m rows``, or all of them."""
        copied, there = sum(self.copied.values()), sum(self.there.values())
        return f"{copied:,} of about {there:,} rows" if self.is_sample else f"all {copied:,} rows"


def fill(
    target: psycopg.Connection,
    copy: psycopg.Connection,
    shape: Shape,
    parts: Sequence[Part],
    seed: int,
    limit_bytes: int,
    step: Step,
) -> Extent:
    """Bring the rows of ``shape`` to its tables in ``copy``, which :func:`make_tables` has made.

    Raises AdvisorError where far more comes than the limit.
    """
    by_name = {part.table.name: part for part in parts}
    room = _MOST_TIMES * limit_bytes
    for number, part in enumerate(parts):
        step(f"copying {part.table.name}", number, len(parts))
        room -= _carry(target, copy, part, rows_from(part, by_name, seed), room)
    left_out = making.add_keys(copy, shape.tables)
    while any(_fetch_parents(target, copy, part, by_name, room) for part in parts):
        pass
    left_out += making.add_indexes(copy, shape.tables)
    left_out += making.add_parents(copy, shape.tables)
    left_out += making.add_checks(copy, shape.tables)
    making.count_on(copy, shape.tables)
    copy.execute("VACUUM (ANALYZE)")
    step("", len(parts), len(parts))
    copied = {name: _count(copy, name) for name in by_name}
    return Extent(
        copied=copied,
        there={
            name: n if by_name[name].is_whole else max(n, round(by_name[name].table.rows))
            for name, n in copied.items()
        },
        whole=frozenset(name for name, part in by_name.items() if part.is_whole),
        left_out=left_out,
    )


def _carry(
    target: psycopg.Connection,
    copy: psycopg.Connection,
    part: Part,
    source: str,
    room: int,
    values: Sequence[object] = (),
) -> int:
    """Stream ``SELECT ... source`` into the copy's table; returns the bytes."""
    table = part.table
    names = [str(name) for (name,) in copy.execute(_FILLED, [table.name])]
    columns = ", ".join(names)
    select = f"COPY (SELECT {', '.join(f'r.{name}' for name in names)} {source}) TO STDOUT"
    came = 0
    with (
        psycopg.ClientCursor(target) as reading,
        copy.cursor() as writing,
        reading.copy(select.encode(), values or None) as rows,
        writing.copy(f"COPY {table.name} ({columns}) FROM STDIN".encode()) as into,
    ):
        for block in rows:
            came += len(block)
            if came > room:
                raise AdvisorError(
                    f"more than {_MOST_TIMES} times as many bytes came as the copy may have"
                    f" ({table.name}: a few parents have very many rows); raise --copy-mib"
                )
            into.write(block)
    return came


_FILLED = """
    SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0
    AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
"""The columns that nothing computes."""


def _fetch_parents(
    target: psycopg.Connection,
    copy: psycopg.Connection,
    part: Part,
    parts: Mapping[str, Part],
    room: int,
) -> int:
    """Bring the parents that rows of a table name and the copy has not; returns how many."""
    fetched = 0
    for key in part.table.parents:
        parent = parts[key.parent]
        if parent.is_whole:
            continue
        missing = copy.execute(_missing(part.table.name, key)).fetchall()
        before = _count(copy, parent.table.name) if missing else 0
        for start in range(0, len(missing), _KEYS_AT_ONCE):
            wanted = zip(*missing[start : start + _KEYS_AT_ONCE], strict=True)
            _carry(target, copy, parent, _these(key), room, [list(keys) for keys in wanted])
        fetched += _count(copy, parent.table.name) - before if missing else 0
    return fetched


def _missing(table: str, key: Key) -> sql.Composed:
    """Keys, as text, that no parent in the copy has."""
    pairs = zip(key.columns, key.parent_columns, strict=True)
    return _sql(
        "SELECT DISTINCT {texts} FROM {table} c WHERE {known} AND NOT EXISTS"
        " (SELECT FROM {parent} p WHERE {same})",
        texts=", ".join(f"c.{name}::text" for name in key.columns),
        table=table,
        known=" AND ".join(f"c.{name} IS NOT NULL" for name in key.columns),
        parent=key.parent,
        same=" AND ".join(f"p.{theirs} = c.{mine}" for mine, theirs in pairs),
    )


def _these(key: Key) -> str:
    """``FROM`` the parents whose keys are given, an array of texts for each column."""
    keys = ", ".join(f"r.{name}" for name in key.parent_columns)
    arrays = ", ".join(f"%s::text[]::{kind}[]" for kind in key.parent_types)
    names = ", ".join(f"k{number}" for number in range(len(key.columns)))
    return (
        f"FROM {key.parent} AS r JOIN unnest({arrays}) AS wanted({names}) ON ({keys}) = ({names})"
    )


def _count(conn: psycopg.Connection, table: str) -> int:
    row = conn.execute(_sql("SELECT count(*) FROM {table}", table=table)).fetchone()
    return int(row[0]) if row else 0


def _sql(template: LiteralString, **parts: str) -> sql.Composed:
    return sql.SQL(template).format(**{name: sql.SQL(text) for name, text in parts.items()})
