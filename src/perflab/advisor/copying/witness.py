"""Shows that a target is as it was: schema, rows and counters of writes before and after.

A database in use changes by itself. What the advisor did there is told apart by the transaction
id: PostgreSQL gives one to a transaction at its first write, and the advisor's had none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from perflab.advisor.copying.sampling import Part, rows_from
from perflab.advisor.statement_stats import OWN

_ASSIGNED = 130000
"""The first server version with ``pg_current_xact_id_if_assigned``."""


class Witness(msgspec.Struct, frozen=True):
    """A target at one moment."""

    schema: str
    """Checksum of all definitions of tables, columns, constraints and indexes."""
    rows: dict[str, tuple[int, str]]
    """By table copied: how many of the rows that were copied there are, and their checksum."""
    written: dict[str, tuple[int, int, int]]
    """By table copied: rows inserted, updated and deleted since statistics were reset."""
    wrote: bool
    """Whether the transaction that looked had written anything."""


class Verdict(msgspec.Struct, frozen=True):
    """Two witnesses compared."""

    changes: tuple[str, ...]
    """What is different, a line each."""
    wrote: bool
    """Whether a transaction of the advisor's wrote anything."""
    schema: str
    tables: int
    rows: int

    def __str__(self) -> str:
        own = (
            "a transaction of perflab's WROTE on the target"
            if self.wrote
            else "perflab's transactions were read-only and wrote nothing (none had an id)"
        )
        if self.changes:
            return f"changed meanwhile, by others: {'; '.join(self.changes)}. {own}"
        return (
            f"unchanged: schema {self.schema}, {self.rows:,} rows of {self.tables} tables by their"
            f" checksums, n_tup_ins, n_tup_upd and n_tup_del; {own}"
        )


def observe(conn: psycopg.Connection, parts: Sequence[Part], seed: int) -> Witness:
    """Look at the target, in the transaction that is open."""
    by_name = {part.table.name: part for part in parts}
    with conn.cursor(row_factory=tuple_row) as cursor:
        schema = hashlib.sha256()
        for statement in _DEFINITIONS:
            schema.update(repr(cursor.execute(statement).fetchall()).encode())
        written = {
            row[0]: (row[1], row[2], row[3])
            for row in cursor.execute(_WRITTEN, [[part.table.oid for part in parts]])
        }
        rows = {}
        for name, part in by_name.items():
            text = _ROWS.format(sql.SQL(rows_from(part, by_name, seed)))
            found = cursor.execute(text).fetchone()
            rows[name] = (int(found[0]), str(found[1])) if found else (0, "")
        name = "pg_current_xact_id" if conn.info.server_version >= _ASSIGNED else "txid_current"
        found = cursor.execute(f"SELECT {name}_if_assigned() IS NOT NULL".encode()).fetchone()
    return Witness(schema.hexdigest()[:12], rows, written, bool(found and found[0]))


def compared(before: Witness, after: Witness) -> Verdict:
    """What changed between two looks."""
    changes = [] if before.schema == after.schema else ["the schema"]
    for name, had in before.written.items():
        now = after.written.get(name, had)
        both = zip(had, now, _VERBS, strict=True)
        grown = [f"{is_now - was:+,} {verb}" for was, is_now, verb in both if is_now != was]
        if grown:
            changes.append(f"{name} {', '.join(grown)}")
        elif before.rows.get(name) != after.rows.get(name):
            changes.append(f"rows of {name}")
    return Verdict(
        changes=tuple(changes),
        wrote=before.wrote or after.wrote,
        schema=after.schema,
        tables=len(after.rows),
        rows=sum(count for count, _checksum in after.rows.values()),
    )


_VERBS = ("inserted", "updated", "deleted")
_WRITTEN = """
    SELECT format('%%I.%%I', n.nspname, c.relname), sum(s.n_tup_ins)::int8, sum(s.n_tup_upd)::int8,
           sum(s.n_tup_del)::int8
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN LATERAL (SELECT c.oid AS relid WHERE c.relkind <> 'p' UNION ALL
                  SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE t.isleaf) l ON true
    JOIN pg_stat_all_tables s ON s.relid = l.relid
    WHERE c.oid::int8 = ANY(%s) GROUP BY 1 ORDER BY 1
"""
_ROWS = sql.SQL(
    f"SELECT {OWN} count(*), coalesce(sum(hashtextextended(r::text, 0)::numeric), 0)::text {{}}"
)
_DEFINITIONS = tuple(
    sql.SQL(text).format(own=sql.SQL("n.nspname !~ '^(pg_|information_schema$)'"))
    for text in (
        "SELECT n.nspname, c.relname, c.relkind, c.relpersistence, c.reloptions::text,"
        " c.relowner::int8, c.relacl::text FROM pg_class c"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {own} ORDER BY 1, 2",
        "SELECT n.nspname, c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),"
        " a.attnotnull, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a"
        " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum"
        " WHERE {own} AND a.attnum > 0 ORDER BY 1, 2, 3",
        "SELECT n.nspname, x.conrelid::int8, x.conname, pg_get_constraintdef(x.oid)"
        " FROM pg_constraint x JOIN pg_namespace n ON n.oid = x.connamespace"
        " WHERE {own} ORDER BY 1, 2, 3",
        "SELECT n.nspname, pg_get_indexdef(i.indexrelid), i.indisvalid FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE {own} ORDER BY 1, 2",
    )
)
