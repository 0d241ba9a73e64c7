"""Where a plan met other numbers of rows than it expected, and which columns were asked about.

Statements are run by ``EXPLAIN (ANALYZE)``, on a copy, in a transaction that is rolled back. Only
the lowest wrong node of a branch is told: what lies above it is wrong because of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import psycopg
from pglast import ast, parse_sql
from pglast.parser import ParseError

from perflab.advisor.catalog import Catalog, TableFacts
from perflab.advisor.explain import fingerprint
from perflab.advisor.maintenance.findings import Limits
from perflab.advisor.nodes import is_a, walk
from perflab.advisor.sql import parameters
from perflab.advisor.workload import Statement
from perflab.database.plans import parse_plan, walk_plan

_CONDITIONS = ("Filter", "Index Cond", "Recheck Cond")
_GROUPING = ("Aggregate", "Group")
_BLOCKING = ("Sort", "Hash")
"""Nodes that take all rows of what is below them before they give one."""
_EARLY = ("Semi", "Anti")


class Misestimate(msgspec.Struct, frozen=True):
    """One node of one statement's plan whose rows the planner did not foresee."""

    statement: str
    """Its name in the workload."""
    node: str
    """As PostgreSQL names it, such as "Seq Scan"."""
    table: str
    """The table it reads, or whose columns it groups by; empty for a join."""
    columns: tuple[str, ...]
    """Of that table, which the conditions or the grouping name; in order, each once."""
    expected: float
    """Rows of one pass, as planned."""
    met: float
    """Rows of one pass, as run."""
    grouped: bool = False

    @property
    def factor(self) -> float:
        """How many times too few or too many; 1 is right."""
        low, high = sorted((max(1.0, self.expected), max(1.0, self.met)))
        return high / low


class Example(msgspec.Struct, frozen=True):
    """A misestimate with what it takes to ask the planner again; holds values, never shown."""

    seen: Misestimate
    text: str
    """The statement with its values."""
    probe: str = ""
    """For a scan: a SELECT of its table under its conditions alone."""
    keys: tuple[str, ...] = ()
    """For a grouping: what it groups by, as the server writes it out."""
    plan: str = ""
    """Fingerprint of the plan that ran."""

    def __repr__(self) -> str:
        return f"Example({self.seen!r})"


def observe(
    conn: psycopg.Connection, statement: Statement, catalog: Catalog, limits: Limits
) -> tuple[Example, ...]:
    """Run every example of a statement; its misestimates, each by its middling example.

    A statement without values (``$n``) is not run. Raises psycopg.Error where the server
    refuses the statement.
    """
    found: dict[tuple[str, tuple[str, ...], bool], list[Example]] = {}
    texts = [text for text in statement.planned if not parameters(text)]
    for text in texts:
        with conn.transaction(force_rollback=True):
            row = conn.execute(
                f"EXPLAIN (ANALYZE, TIMING OFF, VERBOSE, FORMAT JSON) {text}".encode()
            ).fetchone()
        if row is None:
            raise RuntimeError("EXPLAIN returned no row")
        document = row[0][0]
        shape = fingerprint(parse_plan(document))
        for example in _wrong(document["Plan"], statement.name, text, shape, catalog, limits):
            seen = example.seen
            found.setdefault((seen.table, seen.columns, seen.grouped), []).append(example)
    # one call in three may be the odd one: of some users' rows nobody keeps statistics
    often = [group for group in found.values() if 2 * len(group) >= len(texts)]
    return tuple(sorted(group, key=_factor)[len(group) // 2] for group in often)


def _factor(example: Example) -> float:
    return example.seen.factor


def _wrong(
    plan: Mapping[str, Any], name: str, text: str, shape: str, catalog: Catalog, limits: Limits
) -> Iterator[Example]:
    aliases = _aliases(plan, catalog)
    for node, below_is_right, whole in _nodes(plan, limits):
        if not below_is_right or not is_wrong(*rows(node), limits):
            continue
        expected, met = rows(node)
        if met < expected and not whole:
            continue  # nobody asked for the rest
        grouped = node["Node Type"] in _GROUPING
        if grouped:
            table, columns = _group(node, aliases)
        else:
            table = aliases.get(str(node.get("Alias", ""))) if "Relation Name" in node else None
            columns = _columns(_conditions(node), str(node.get("Alias", "")), table)
        seen = Misestimate(
            statement=name,
            node=str(node["Node Type"]),
            table=table.name if table else "",
            columns=columns,
            expected=expected,
            met=met,
            grouped=grouped,
        )
        probe = _probe(node, table) if table and columns and not grouped else ""
        yield Example(seen, text, probe, tuple(node.get("Group Key", ())), shape)


def grouped_rows(plan: Mapping[str, Any], keys: Sequence[str]) -> float | None:
    """Rows that a plan expects of the grouping by these keys; None where it has none."""
    for node in walk_plan(plan):
        if set(node.get("Group Key", ())) == set(keys) and node.get("Partial Mode") != "Partial":
            return float(node["Plan Rows"])
    return None


def rows(node: Mapping[str, Any]) -> tuple[float, float]:
    """Expected and met rows of one pass."""
    return float(node["Plan Rows"]), float(node["Actual Rows"])


def is_wrong(expected: float, met: float, limits: Limits) -> bool:
    """Whether a difference is worth a word."""
    low, high = sorted((max(1.0, expected), max(1.0, met)))
    return high >= limits.misestimate * low and high - low >= limits.misestimated_rows


def _nodes(
    plan: Mapping[str, Any], limits: Limits, whole: bool = True
) -> Iterator[tuple[Mapping[str, Any], bool, bool]]:
    """Nodes that ran, whether all below them is right, and whether they ran to their end."""
    if not plan or not plan.get("Actual Loops"):
        return
    right = True
    kind = str(plan["Node Type"])
    for child in plan.get("Plans", ()):
        below = _runs_to_its_end(plan, child, whole)
        for node, fine, end in _nodes(child, limits, below):
            expected, met = rows(node)
            right = right and (not is_wrong(expected, met, limits) or (met < expected and not end))
            yield node, fine, end
    partial = plan.get("Partial Mode") == "Partial" or kind in ("Bitmap Index Scan", "Gather")
    counted = kind in _GROUPING or "Relation Name" in plan or "Join Type" in plan
    if counted and not partial:
        yield plan, right, whole


def _runs_to_its_end(parent: Mapping[str, Any], child: Mapping[str, Any], whole: bool) -> bool:
    kind = str(parent["Node Type"])
    if child.get("Parent Relationship") in ("SubPlan", "InitPlan"):
        return False  # EXISTS takes one row
    if kind in _BLOCKING or parent.get("Strategy") in ("Hashed", "Plain"):
        return True
    if kind in ("Limit", "Merge Join"):
        return False
    inner = child.get("Parent Relationship") == "Inner"
    if inner and kind == "Nested Loop":
        unique = bool(parent.get("Inner Unique")) or parent.get("Join Type") in _EARLY
        return whole and not unique
    return whole


def _aliases(plan: Mapping[str, Any], catalog: Catalog) -> dict[str, TableFacts]:
    found = {}
    for node in walk_plan(plan):
        if "Relation Name" in node:
            table = catalog.find(str(node["Relation Name"]), str(node.get("Schema", "")))
            if table is not None:
                found[str(node["Alias"])] = table
    return found


def _conditions(node: Mapping[str, Any]) -> tuple[str, ...]:
    """What a scan asks of its rows, as the server writes it out: with values."""
    return tuple(dict.fromkeys(str(node[name]) for name in _CONDITIONS if name in node))


def _columns(texts: Sequence[str], alias: str, table: TableFacts | None) -> tuple[str, ...]:
    """The table's columns in these conditions; none where one of them asks about more."""
    found: set[str] = set()
    for text in texts:
        for qualifier, column in _references(text):
            if table is None or qualifier not in ("", alias):
                return ()
            found.add(column)
    return _as_written(found, table) if table else ()


def _as_written(columns: set[str], table: TableFacts) -> tuple[str, ...]:
    """Columns as SQL writes them, in order; none if one is not the table's."""
    written = {_bare(name): name for name in table.by_column}
    return tuple(written[name] for name in sorted(columns)) if columns <= written.keys() else ()


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def _references(text: str) -> Iterator[tuple[str, str]]:
    """Qualifier and name of every column in an expression; an odd pair where it does not parse."""
    try:
        parsed: Any = parse_sql(f"SELECT {text}")
    except ParseError:  # (SubPlan 1), $0
        yield "?", "?"
        return
    for node in walk(parsed[0].stmt):
        if is_a(node, ast.ColumnRef):
            words = [getattr(field, "sval", "*") for field in node.fields]
            yield (words[-2] if len(words) > 1 else ""), words[-1]


def _group(
    node: Mapping[str, Any], aliases: Mapping[str, TableFacts]
) -> tuple[TableFacts | None, tuple[str, ...]]:
    """The one table whose columns are grouped by, and these."""
    pairs = [pair for key in node.get("Group Key", ()) for pair in _references(str(key))]
    only = next(iter(aliases)) if len(aliases) == 1 else ""
    names = {qualifier or only for qualifier, _column in pairs}
    table = aliases.get(names.pop()) if len(names) == 1 else None
    columns = _as_written({column for _qualifier, column in pairs}, table) if table else ()
    return (table, columns) if columns else (None, ())


def _probe(node: Mapping[str, Any], table: TableFacts) -> str:
    where = " AND ".join(f"({text})" for text in _conditions(node)) or "true"
    return f'SELECT FROM {table.name} AS "{node["Alias"]}" WHERE {where}'
