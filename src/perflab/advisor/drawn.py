"""Values for statements that a server's statistics keep without: drawn from a copy's own rows.

Parameters of one table come from one row, so that they fit together and common values come as
often as they are common. How wide a range is nothing says: it lets through a share of the rows
that is drawn too, between a thousandth and a tenth. Values stay in the copy: no output has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
import psycopg
from pglast import ast
from psycopg import sql

from perflab.advisor.catalog import Catalog
from perflab.advisor.errors import said
from perflab.advisor.nodes import is_a, walk
from perflab.advisor.normalised import filled
from perflab.advisor.places import cast_of, places_of
from perflab.advisor.solving import Place, Source
from perflab.advisor.sql import parameters, parse_one
from perflab.advisor.workload import Statement

NARROWEST, WIDEST = 0.001, 0.1
"""Shares of a table's rows that a range lets through; all orders of magnitude are as likely."""
_SAMPLE_ROWS = 10_000
"""Rows of a table that values are drawn from."""
_LIST = 3
"""Members of an array that is compared with = ANY, and of a list that was shortened."""
_SHORTENED = re.compile(r"\$(\d+) /\*, \.\.\. \*/")
"""What PostgreSQL 18 makes of a list of constants."""
_MANY = {"list": "ARRAY[{}]", "members": "{}"}
"""By how a parameter stands for several values, how they are written."""
_NAMES = {"character": "bpchar", "bit": '"bit"'}
"""Types that would be one character or bit wide where a value is cast to them."""

_Bounds = Mapping[tuple[Source, str], str]
_Rows = Sequence[Mapping[Source, str]]
"""Literals by what they were drawn from; the first row and those of further list members."""


class Drawer:
    """Draws values from the database of one connection, which may make temporary tables there."""

    def __init__(self, conn: psycopg.Connection, catalog: Catalog, seed: int) -> None:
        self._conn, self._catalog = conn, catalog
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._samples: dict[str, str] = {}

    def with_values(self, statement: Statement, examples: int) -> Statement:
        """The statement with up to so many examples, or with the reason why it has none."""
        if not parameters(statement.text) or statement.examples:
            return statement
        tree = parse_one(statement.text)
        places = places_of(tree, self._catalog)
        for number in sorted(n.number for n in walk(tree) if is_a(n, ast.ParamRef)):
            if number not in places:
                kind = cast_of(tree, number)
                what = f"${number} ({kind})" if kind else f"${number}"
                reason = f"{what} stands beside no column that values could be drawn from"
                return msgspec.structs.replace(statement, valueless=reason)
        for number in map(int, _SHORTENED.findall(statement.text)):
            places[number] = msgspec.structs.replace(places[number], how="members")
        reason = ""
        try:
            texts = [self._example(statement.text, places) for _ in range(examples)]
        except psycopg.Error as error:
            reason = f"values cannot be drawn: {said(error)}"
        if reason or None in texts:
            reason = reason or "the copied rows have no value for it but NULL"
            return msgspec.structs.replace(statement, valueless=reason)
        different = tuple(dict.fromkeys(text for text in texts if text is not None))
        return msgspec.structs.replace(statement, examples=different)

    def _example(self, text: str, places: Mapping[int, Place]) -> str | None:
        relations: dict[int, dict[int, Place]] = {}
        values = {n: place.stated for n, place in places.items()}
        for number, place in places.items():
            if place.source:
                relations.setdefault(place.source.relation, {})[number] = place
        for those in relations.values():
            bounds = self._bounds(those)
            rows = self._rows(those, bounds)
            if rows is None:
                return None
            for number, place in those.items():
                if place.source:
                    values[number] = self._value(place, place.source, rows, bounds)
        return filled(text, values)

    def _bounds(self, places: Mapping[int, Place]) -> _Bounds:
        """The ends of each range, in order."""
        ranges: dict[Source, set[str]] = {}
        for place in places.values():
            if place.source and place.how in ("low", "high"):
                ranges.setdefault(place.source, set()).add(place.how)
        found: dict[tuple[Source, str], str] = {}
        for source, ends in ranges.items():
            share = float(np.exp(self._rng.uniform(np.log(NARROWEST), np.log(WIDEST))))
            begin = float(self._rng.uniform(0, 1 - share))
            if len(ends) == 1:
                begin = 1 - share if "low" in ends else 0.0
            low, high = self._quantiles(source, begin, begin + share)
            found |= {(source, "low"): low, (source, "high"): high}
        return found

    def _quantiles(self, source: Source, low: float, high: float) -> tuple[str, str]:
        ask = sql.SQL(
            "SELECT v[1]::text, v[2]::text, pg_typeof(v[1])::text FROM (SELECT"
            " percentile_disc({}::float8[]) WITHIN GROUP (ORDER BY {}) AS v FROM {}) q"
        )
        shares = sql.Literal([low, min(1.0, high)])
        sample = self._sample(source.table)
        row = self._conn.execute(ask.format(shares, sql.SQL(source.sql), sample)).fetchone()
        if row is None or row[0] is None:
            return "NULL", "NULL"
        return self._literal(row[0], row[2]), self._literal(row[1], row[2])

    def _rows(self, places: Mapping[int, Place], bounds: _Bounds) -> _Rows | None:
        """Rows that the ranges let through, as literals; None where every row has a NULL."""
        sources = list(dict.fromkeys(p.source for p in places.values() if p.source))
        columns = [part for s in sources for part in (f"({s.sql})::text", f"pg_typeof({s.sql})")]
        known = [f"({source.sql}) IS NOT NULL" for source in sources]
        within = [
            f"({source.sql}) {'>=' if end == 'low' else '<='} {literal}"
            for (source, end), literal in bounds.items()
        ]
        wanted = max(_LIST if p.how in _MANY else p.nth + 1 for p in places.values())
        for conditions in (known + within, known):
            found = self._conn.execute(
                sql.SQL(
                    "SELECT {} FROM {} WHERE {} ORDER BY hashtext(ctid::text || {}) LIMIT {}"
                ).format(
                    sql.SQL(", ").join(map(sql.SQL, columns)),
                    self._sample(sources[0].table),
                    sql.SQL(" AND ").join(map(sql.SQL, conditions)),
                    sql.Literal(f"/{self._rng.integers(2**31)}"),
                    sql.Literal(wanted),
                )
            ).fetchall()
            if found:
                return [
                    {s: self._literal(r[2 * i], r[2 * i + 1]) for i, s in enumerate(sources)}
                    for r in found
                ]
        return None

    def _value(self, place: Place, source: Source, rows: _Rows, bounds: _Bounds) -> str:
        """What is written in place of a parameter."""
        if place.how in _MANY:
            return _MANY[place.how].format(", ".join(row[source] for row in rows))
        value = bounds.get((source, place.how)) or rows[place.nth % len(rows)][source]
        if place.how == "prefix":
            value = _PREFIX.format(value)
        elif place.solved == "{}":
            return value
        else:
            value = place.solved.format(value)
        ask = sql.SQL("SELECT v::text, pg_typeof(v)::text FROM (SELECT {} AS v) q")
        row = self._conn.execute(ask.format(sql.SQL(value))).fetchone()
        return self._literal(row[0], row[1]) if row else "NULL"

    def _literal(self, text: str, kind: str) -> str:
        return f"{sql.Literal(text).as_string(self._conn)}::{_NAMES.get(kind, kind)}"

    def _sample(self, table: str) -> sql.SQL:
        """Rows of a table, the same for the same seed."""
        if table not in self._samples:
            name = f"pg_temp.perflab_rows_{len(self._samples)}"
            rows = self._catalog.by_name[table].rows
            percent = min(100.0, 100 * _SAMPLE_ROWS / max(1.0, rows))
            make = sql.SQL(
                "CREATE TEMP TABLE {} AS SELECT * FROM {} TABLESAMPLE BERNOULLI ({})"
                " REPEATABLE ({})"
            )
            of = (sql.SQL(name), sql.SQL(table), sql.Literal(percent), sql.Literal(self._seed))
            self._conn.execute(make.format(*of))
            self._samples[table] = name
        return sql.SQL(self._samples[table])


_PREFIX = (
    r"regexp_replace(left({0}::text, greatest(1, length({0}::text) * 2 / 3)),"
    r" '([\\%_])', '\\\1', 'g') || '%'"
)
