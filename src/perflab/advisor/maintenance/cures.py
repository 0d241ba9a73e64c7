"""Finds what would make a misestimate right: tried on a copy, each in turn, and rolled back.

The cheapest comes first: counting anew (ANALYZE), then statistics over several columns, then
more values of each column. PostgreSQL itself says how the columns depend on each other, out of
the sample that it took.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import dict_row

from perflab.advisor.errors import said
from perflab.advisor.explain import estimate, fingerprint
from perflab.advisor.maintenance.findings import Finding, Kind, Limits
from perflab.advisor.maintenance.misestimates import Example, Misestimate, grouped_rows, is_wrong

_TARGET = 1_000
"""Values that more thorough statistics keep of a column; the default is 100."""
_MOST_COLUMNS = 8
"""Of one statistics object."""
_NAME_LENGTH = 63


@dataclass(frozen=True)
class Diagnosis:
    """One misestimate and what came of looking for its cause."""

    seen: Misestimate
    verdict: str
    """In words: what cures it, or why nothing is advised."""
    cured: float | None = None
    """Rows expected with the cure; None where none was found."""
    finding: Finding | None = None


_THAT: Mapping[Kind, str] = {
    "stale": "ANALYZE cures it",
    "correlated": "CREATE STATISTICS cures it",
    "coarse": "a higher statistics target cures it",
}


@dataclass(frozen=True)
class _Cure:
    kind: Kind
    statements: tuple[str, ...]
    statistics: str = ""
    """The name of the statistics object that it makes."""


@dataclass(frozen=True)
class _Cured:
    """One misestimate with the first cure that makes it right."""

    example: Example
    cure: _Cure
    expected: float
    evidence: str


def diagnose(conninfo: str, examples: Sequence[Example], limits: Limits) -> tuple[Diagnosis, ...]:
    """Try the cures of every misestimate in the database, which must be a copy.

    Advised is what changes the statement's plan, with all of its misestimates cured at once:
    two wrong sides of a join often keep each other's plan. Statistics that are made are rolled
    back; counts of rows and pages, which ANALYZE writes past any transaction, stay.
    """
    found: list[Diagnosis] = []
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET jit = off")
        for name in dict.fromkeys(one.seen.statement for one in examples):
            mine = [one for one in examples if one.seen.statement == name]
            tried = [_tried(conn, example, limits) for example in mine]
            cured = [one for one in tried if isinstance(one, _Cured)]
            flipped = bool(cured) and _flips(conn, cured)
            found += [
                one if isinstance(one, Diagnosis) else _told(one, flipped, limits) for one in tried
            ]
    return tuple(found)


def _told(one: _Cured, flipped: bool, limits: Limits) -> Diagnosis:
    seen, cure = one.example.seen, one.cure
    if not flipped:
        return Diagnosis(seen, f"{_THAT[cure.kind]} and changes no plan", one.expected)
    finding = Finding(
        kind=cure.kind,
        table=seen.table,
        figure=f"expected rows {seen.expected:,.0f}, met {seen.met:,.0f}"
        f" ({', '.join(seen.columns)}){one.evidence}",
        statements=cure.statements,
        weight=seen.factor / limits.misestimate,
        serves=(seen.statement,),
    )
    return Diagnosis(seen, f"{_THAT[cure.kind]} and changes the plan", one.expected, finding)


def _tried(conn: psycopg.Connection, example: Example, limits: Limits) -> _Cured | Diagnosis:
    seen = example.seen
    if not seen.table:
        joins = seen.node == "Nested Loop" or seen.node.endswith("Join")
        what = "what a join meets" if joins else "anything of what is read here"
        return Diagnosis(seen, f"no statistics say {what}")
    if not seen.columns:
        return Diagnosis(seen, "the condition is about more than this table's columns")
    try:
        for cure in _cures(seen):
            with conn.transaction(force_rollback=True):
                _apply(conn, cure)
                expected = _expected_now(conn, example)
                if cure.kind == "stale" and _is_right(expected, seen, limits):
                    _apply(conn, cure)  # a rare value may be in one sample by luck
                    expected = _expected_now(conn, example)
                if expected is not None and _is_right(expected, seen, limits):
                    return _Cured(example, cure, expected, _evidence(conn, cure))
    except psycopg.Error as error:
        return Diagnosis(seen, f"the planner could not be asked again: {said(error)}")
    return Diagnosis(seen, "no statistics that were tried cure it")


def _is_right(expected: float | None, seen: Misestimate, limits: Limits) -> bool:
    return expected is not None and not is_wrong(expected, seen.met, limits)


def _flips(conn: psycopg.Connection, cured: Sequence[_Cured]) -> bool:
    """Whether the statement has another plan with all of these."""
    with conn.transaction(force_rollback=True):
        for cure in {one.cure: None for one in cured}:
            _apply(conn, cure)
        return any(
            fingerprint(estimate(conn, one.example.text).plan) != one.example.plan for one in cured
        )


def _apply(conn: psycopg.Connection, cure: _Cure) -> None:
    for statement in cure.statements:
        conn.execute(statement.encode())


def _cures(seen: Misestimate) -> Iterator[_Cure]:
    analyze = f"ANALYZE {seen.table}"
    yield _Cure("stale", (analyze,))
    if 2 <= len(seen.columns) <= _MOST_COLUMNS:
        for kind in ("ndistinct",) if seen.grouped else ("dependencies", "mcv"):
            name = _name(seen.table, seen.columns, kind)
            create = (
                f"CREATE STATISTICS {name} ({kind}) ON {', '.join(seen.columns)} FROM {seen.table}"
            )
            yield _Cure("correlated", (create, analyze), name)
    alter = ", ".join(f"ALTER COLUMN {column} SET STATISTICS {_TARGET}" for column in seen.columns)
    yield _Cure("coarse", (f"ALTER TABLE {seen.table} {alter}", analyze))


def _name(table: str, columns: Sequence[str], kind: str) -> str:
    """A name that needs no quotes, in the table's own schema."""
    found = _QUALIFIED.fullmatch(table)
    schema, bare = (found[1] or "", found[2]) if found else ("", table)
    text = "_".join(("stat", bare, *columns)).replace('"', "").lower()
    words = re.sub(r"\W+", "_", text, flags=re.ASCII)
    if len(words) + len(kind) >= _NAME_LENGTH:
        digits = hashlib.sha256(repr((table, columns)).encode()).hexdigest()[:6]
        words = f"{words[: _NAME_LENGTH - len(kind) - len(digits) - 2]}_{digits}"
    return f"{schema}{words}_{kind}"


def _expected_now(conn: psycopg.Connection, example: Example) -> float | None:
    """Rows that the planner expects of the same scan or grouping by now."""
    text = example.probe or example.text
    row = conn.execute(f"EXPLAIN (VERBOSE, FORMAT JSON) {text}".encode()).fetchone()
    if row is None:
        return None
    plan = row[0][0]["Plan"]
    return float(plan["Plan Rows"]) if example.probe else grouped_rows(plan, example.keys)


def _evidence(conn: psycopg.Connection, cure: _Cure) -> str:
    """What the server found in its sample of how these columns go together."""
    if not cure.statistics:
        return ""
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(_EXTENDED, {"name": cure.statistics}).fetchone() or {}
    names = found.get("names") or {}
    if found.get("dependencies"):
        degrees = json.loads(found["dependencies"])
        rule, degree = max(degrees.items(), key=lambda pair: pair[1])
        given, told = (_named(part, names) for part in rule.split(" => "))
        return f"; {given} tells {told} in {100 * degree:.0f} % of the sampled rows"
    if found.get("distinct"):
        counts = json.loads(found["distinct"])
        widest = max(counts, key=lambda key: key.count(","))
        return f"; {counts[widest]:,} different combinations in the sample's estimate"
    if found.get("together"):
        times = found["together"] / max(found["apart"], 1e-12)
        return f"; common combinations are {times:,.0f} times as common as their parts say"
    return ""


def _named(numbers: str, names: Mapping[str, str]) -> str:
    return " and ".join(names.get(number.strip(), "?") for number in numbers.split(","))


_QUALIFIED = re.compile(r'((?:"(?:[^"]|"")+"|[^".]+)\.)?(.+)')

_EXTENDED = """
    SELECT s.n_distinct::text AS distinct, s.dependencies::text AS dependencies,
           (SELECT sum(f) FROM unnest(s.most_common_freqs) f) AS together,
           (SELECT sum(f) FROM unnest(s.most_common_base_freqs) f) AS apart,
           (SELECT jsonb_object_agg(a.attnum, a.attname) FROM pg_attribute a
            WHERE a.attrelid = x.stxrelid AND a.attnum > 0) AS names
    FROM pg_stats_ext s
    JOIN pg_statistic_ext x ON x.stxname = s.statistics_name
      AND x.stxnamespace = s.statistics_schemaname::regnamespace
    WHERE format('%%I.%%I', s.statistics_schemaname, s.statistics_name) = %(name)s
       OR (s.statistics_name = %(name)s AND pg_statistics_obj_is_visible(x.oid))
"""
