"""Functions of a target that a copy may have: those in SQL and PL/pgSQL that only compute.

A function that an index, a check or a generated column calls runs on the copy with the rights of
whoever fills it. So its body is read first: it may consist of queries and control flow, and call
what only computes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Final

import msgspec
import psycopg
from pglast import ast, parse_plpgsql, parse_sql
from pglast.parser import ParseError, scan
from psycopg.rows import dict_row

from perflab.advisor.errors import StatementError
from perflab.advisor.nodes import is_a, walk
from perflab.advisor.sql import COMMENTS, parse_one, tables_of
from perflab.advisor.workload import check_functions

_CONTROL: Final = frozenset(
    f"PLpgSQL_stmt_{name}"
    for name in (
        "block", "assign", "if", "case", "loop", "while", "fori", "fors", "foreach_a", "exit",
        "return", "return_next", "return_query", "raise", "assert", "execsql", "perform",
    )
)  # fmt: skip
"""Statements of PL/pgSQL that change nothing; not among them is what runs a text as SQL."""
_ASSIGNMENTS: Final = 3
"""From this parse mode on an expression is ``target := value`` (``RawParseMode``)."""
_EXPRESSION: Final = 2
_SETTINGS: Final = frozenset(
    {
        "search_path",
        "timezone",
        "datestyle",
        "intervalstyle",
        "work_mem",
        "plpgsql.variable_conflict",
    }
)
_HARMLESS: Final = frozenset(
    {"random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "clock_timestamp",
     "timeofday", "uuid_generate_v1", "uuid_generate_v4", "array_shuffle", "array_sample"}
)  # fmt: skip
"""Volatile and yet of no effect."""
_WRITES: Final = (ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.IntoClause)


class Function(msgspec.Struct, frozen=True):
    """One function of the target's own."""

    bare: str
    """The name alone, unquoted."""
    signature: str
    """With schema and types of the arguments, quoted."""
    kind: str
    """``prokind``: f for a function, a for an aggregate, w for a window function, p."""
    language: str
    definer: bool
    """Whether it runs with its owner's rights."""
    settings: tuple[str, ...]
    """Names of what it sets for itself."""
    definition: str


class Needed(msgspec.Struct, frozen=True):
    """The functions that some texts call, over however many calls."""

    functions: tuple[Function, ...]
    refused: dict[str, str]
    """By signature, why a function is not copied."""
    tables: frozenset[tuple[str, str]]
    """Schema (or nothing) and name of what their queries read."""


def read_functions(conn: psycopg.Connection) -> tuple[tuple[Function, ...], frozenset[str]]:
    """The functions of the connected database, triggers and extensions' left out; none is called.

    With them the names of functions of PostgreSQL and its extensions that do more than compute.
    """
    with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET LOCAL search_path = ''")  # so that every type comes with its schema
        found = cursor.execute(_FUNCTIONS).fetchall()
        acting = cursor.execute(_ACTING).fetchall()
    names = frozenset(str(row["name"]) for row in acting)
    return tuple(msgspec.convert(row, Function) for row in found), names - _HARMLESS


def needed_functions(
    functions: Iterable[Function], texts: Iterable[str], acting: Collection[str]
) -> Needed:
    """Those that ``texts`` call, and those that these call; ``acting`` are names not to be called.

    Overloads of one name come together.
    """
    by_name: dict[str, list[Function]] = {}
    for function in functions:
        by_name.setdefault(function.bare, []).append(function)
    good: dict[str, Function] = {}
    refused: dict[str, str] = {}
    tables: set[tuple[str, str]] = set()
    waiting = sorted({name for text in texts for name in called(text)} & by_name.keys())
    seen = set(waiting)
    while waiting:
        for function in by_name[waiting.pop()]:
            try:
                bodies = check_body(function, acting)
            except StatementError as error:
                refused[function.signature] = f"it {error}"
                continue
            good[function.signature] = function
            tables |= bodies.tables
            more = (bodies.calls & by_name.keys()) - seen
            seen |= more
            waiting.extend(sorted(more))
    return Needed(tuple(good[name] for name in sorted(good)), refused, frozenset(tables))


class Body(msgspec.Struct, frozen=True):
    """What a function's body names."""

    calls: frozenset[str]
    tables: frozenset[tuple[str, str]]


def check_body(function: Function, acting: Collection[str]) -> Body:
    """What a function calls and reads; a StatementError says why a copy does not get it."""
    if function.kind != "f":
        kinds = {"a": "an aggregate", "w": "a window function", "p": "a procedure"}
        raise StatementError(f"is {kinds.get(function.kind, 'no plain function')}")
    if function.language not in ("sql", "plpgsql"):
        raise StatementError(f"is written in {function.language}, not in SQL or PL/pgSQL")
    if function.definer:
        raise StatementError("is SECURITY DEFINER: it runs with its owner's rights")
    if others := sorted(set(function.settings) - _SETTINGS):
        raise StatementError(f"sets {others[0]}")
    try:
        parsed: Any = parse_sql(function.definition)[0].stmt
        bodies = [text for option in parsed.options or () for text in _quoted(option)]
        if function.language == "plpgsql":
            queries = [*_queries(parse_plpgsql(function.definition))]
        else:
            queries = [*_statements(bodies)]
    except (ParseError, json.JSONDecodeError, ValueError):
        raise StatementError("has a body that is not understood") from None
    for query in queries:
        _check_nodes(walk(parse_one(query)))
    calls = frozenset().union(*(called(text) for text in (function.definition, *bodies)))
    if found := sorted(calls & set(acting)):
        raise StatementError(f"calls {found[0]}(), which does more than compute")
    tables = frozenset().union(*map(tables_of, queries), _read_inside(parsed.sql_body))
    if system := sorted(name for _schema, name in tables if name.startswith("pg_")):
        raise StatementError(f"reads {system[0]}, a system catalog")
    return Body(calls, tables)


def called(text: str) -> frozenset[str]:
    """Every name before a parenthesis, unquoted: the functions that a text can call.

    A text that cannot be cut into words calls nothing. Raises StatementError for a name in
    Unicode escapes.
    """
    try:
        tokens = [token for token in scan(text) if token.name not in COMMENTS]
    except ParseError:
        return frozenset()
    found = set()
    for token, following in pairwise(tokens):
        word = text[token.start : token.end + 1]
        if word[:3].lower() == 'u&"':
            raise StatementError("has a name in Unicode escapes")
        if following.name == "ASCII_40":
            is_quoted = word.startswith('"')
            found.add(word[1:-1].replace('""', '"') if is_quoted else word.lower())
    return frozenset(found)


def _quoted(option: Any) -> Iterator[str]:
    """The body that follows AS."""
    if option.defname == "as":
        yield from (part.sval for part in option.arg)


def _statements(bodies: Iterable[str]) -> Iterator[str]:
    """The statements of a body in SQL."""
    for body in bodies:
        for raw in parse_sql(body):
            begin, length = raw.stmt_location or 0, raw.stmt_len or len(body)
            yield body[begin : begin + length]


def _queries(node: Any) -> Iterator[str]:
    """Everything that a parsed body in PL/pgSQL has PostgreSQL run, as SELECTs where it is less."""
    if isinstance(node, list):
        for item in node:
            yield from _queries(item)
    elif isinstance(node, Mapping):
        for name, value in node.items():
            if name.startswith("PLpgSQL_stmt_") and name not in _CONTROL:
                what = name.removeprefix("PLpgSQL_stmt_")
                raise StatementError(f"has a body with a statement that is not taken ({what})")
            if name == "PLpgSQL_expr":
                yield from _as_selects(value["query"], value.get("parseMode", 0))
            elif name in ("dynquery", "open"):
                raise StatementError("has a body that runs a text as SQL")
            else:
                yield from _queries(value)


def _as_selects(query: str, mode: int) -> Iterator[str]:
    if mode >= _ASSIGNMENTS:
        target, _, value = query.partition("=")
        yield from (f"SELECT {target.rstrip().removesuffix(':')}", f"SELECT {value}")
    elif mode == _EXPRESSION:
        yield f"SELECT {query}"
    elif mode == 0:
        yield query


def _read_inside(body: Any) -> frozenset[tuple[str, str]]:
    """The tables of a body that the server keeps parsed (``BEGIN ATOMIC``, ``RETURN``)."""
    nodes = list(walk(body))
    _check_nodes(nodes)
    return frozenset((n.schemaname or "", n.relname) for n in nodes if is_a(n, ast.RangeVar))


def _check_nodes(nodes: Iterable[Any]) -> None:
    for node in nodes:
        if is_a(node, _WRITES):
            raise StatementError("has a body that writes")
        if is_a(node, (ast.FuncCall, ast.LockingClause)):
            check_functions(node)


_FUNCTIONS: Final = """
    SELECT p.proname::text AS bare, l.lanname::text AS language, p.prosecdef AS definer,
           p.prokind::text AS kind,
           format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))
             AS signature,
           coalesce((SELECT array_agg(lower(split_part(s, '=', 1))) FROM unnest(p.proconfig) s),
                    '{}') AS settings,
           CASE WHEN p.prokind = 'f' AND l.lanname IN ('sql', 'plpgsql')
                THEN pg_get_functiondef(p.oid) ELSE '' END AS definition
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_language l ON l.oid = p.prolang
    WHERE n.nspname !~ '^(pg_|information_schema$)'
      AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass
                      AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
    ORDER BY n.nspname, p.proname, signature
"""
"""Those of deptype i belong to a range type, which makes them."""
_ACTING: Final = """
    SELECT DISTINCT p.proname AS name FROM pg_proc p
    LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
      AND d.deptype = 'e'
    LEFT JOIN pg_extension e ON e.oid = d.refobjid
    WHERE (p.provolatile = 'v' AND (p.pronamespace = 'pg_catalog'::regnamespace
                                    OR e.oid IS NOT NULL))
       OR e.extname = 'tablefunc'
       OR p.pronamespace = 'pg_catalog'::regnamespace
          AND p.proname ~ '(to_xml|to_xmlschema|to_xml_and_xmlschema)$'
"""
"""tablefunc runs texts as SQL, and so do some of those that make XML."""
