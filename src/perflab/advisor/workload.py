"""The statements that advice is for: out of a file of SQL, or whatever a caller has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from pglast import ast
from pglast.parser import ParseError, scan

from perflab.advisor.errors import StatementError
from perflab.advisor.identity import statement_key
from perflab.advisor.nodes import is_a, walk
from perflab.advisor.sql import COMMENTS, parse_one, redacted

MAX_FILE_BYTES, MAX_STATEMENT_BYTES, MAX_STATEMENTS = 8 * 2**20, 256 * 1024, 2_000
_END = "ASCII_59"
"""The token of a semicolon."""
_CALLS = re.compile(r"--\s*calls:\s*(\S+)")
_NAME = re.compile(r"--\s*name:\s*([\w.-]+)")
_FORBIDDEN = re.compile(
    r"pg_(read|write|ls|stat_file|file|terminate|cancel|reload|rotate|sleep|switch|create|drop"
    r"|promote|advisory|try_advisory|backup|logical|replication|stat_reset|import|export)\w*"
    r"|lo_(im|ex)port|lo_\w+|dblink\w*|set_config|setseed|query_to_\w*|txid_\w*|nextval|setval"
    r"|currtid2?|database_to_xml\w*|schema_to_xml\w*|table_to_xml\w*|cursor_to_xml\w*"
    r"|ts_stat|ts_rewrite|hypopg\w*|pg_notify|pg_reset\w*|pg_stat_statements_reset"
)
"""Functions that reach files, other servers, sessions or settings, or that run a text as SQL."""


class Statement(msgspec.Struct, frozen=True):
    """One statement of a workload."""

    name: str
    text: str
    """With its values, or with ``$n`` in their place."""
    calls: float = 1.0
    examples: tuple[str, ...] = ()
    """The same with values, to be planned; empty where ``text`` is to be planned as it is."""
    valueless: str = ""
    """Why values could not be had for ``$n``."""

    @property
    def planned(self) -> tuple[str, ...]:
        """What is shown to the planner."""
        return self.examples or (self.text,)


class Refused(msgspec.Struct, frozen=True):
    """A statement that is left out, and why."""

    line: int
    """Where it begins in the file."""
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: the statement {self.reason}"


class Workload(msgspec.Struct, frozen=True):
    """The statements of a file and what was left out."""

    statements: tuple[Statement, ...]
    refused: tuple[Refused, ...]


def read_workload(path: Path) -> Workload:
    """The SELECT and DML statements of a ``.sql`` file; a StatementError if there is none.

    A comment ``-- calls: 120`` before a statement says how often it runs (else once), and
    ``-- name: feed`` what it is to be called. Statements that differ in their values only are
    one, and their calls add up. Nothing of the file is executed here.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # no more of a device that never ends
        if len(data) > MAX_FILE_BYTES:
            raise StatementError(f"{path}: larger than {MAX_FILE_BYTES // 2**20} MiB; split it")
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise StatementError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise StatementError(f"{path}: is not UTF-8 text") from None
    if "\0" in text:  # the parser would take it for the end, and leave out what follows
        line = text.count("\n", 0, text.index("\0")) + 1
        raise StatementError(f"{path}: line {line} holds a NUL byte; is it text?")
    found = parse_workload(text)
    if not found.statements:
        why = f": {found.refused[0]}" if found.refused else ""
        raise StatementError(f"{path}: holds no statement that can be advised on{why}")
    return found


def parse_workload(text: str) -> Workload:
    """The same out of a text."""
    merged: dict[str, Statement] = {}
    refused: list[Refused] = []
    for line, piece in _pieces(text):
        try:
            statement = _statement(piece, len(merged) + 1)
        except StatementError as error:
            refused.append(Refused(line, str(error)))
            continue
        key = statement_key(statement.text)
        if key in merged:
            merged[key] = _joined(merged[key], statement)
        elif len(merged) == MAX_STATEMENTS:
            refused.append(Refused(line, f"is beyond the {MAX_STATEMENTS:,} different ones taken"))
        else:
            merged[key] = statement
    return Workload(_named(tuple(merged.values())), tuple(refused))


def check_functions(statement: Any) -> None:
    """A StatementError for a parsed statement that calls what reaches beyond tables."""
    for node in walk(statement):
        if is_a(node, ast.FuncCall):
            name = str(node.funcname[-1].sval)
            if _FORBIDDEN.fullmatch(name):
                raise StatementError(f"calls {name}(), which reaches beyond tables")
        elif isinstance(node, ast.LockingClause):
            raise StatementError("locks rows (FOR UPDATE and its like); leave that clause out")


def _pieces(text: str) -> list[tuple[int, str]]:
    """The line on which each statement begins, comments before it included, and its text."""
    try:
        tokens = scan(text)
    except ParseError as error:  # a string or comment that never ends
        return [(text.count("\n", 0, int(error.args[1])) + 1, text)]
    pieces, at, says_something = [], 0, False
    for name, start in (*((token.name, token.start) for token in tokens), (_END, len(text))):
        if name not in (_END, *COMMENTS):
            says_something = True
        elif name == _END:
            piece = text[at:start]
            if says_something:
                begin = at + len(piece) - len(piece.lstrip())
                pieces.append((text.count("\n", 0, begin) + 1, piece.strip()))
            at, says_something = start + 1, False
    return pieces


def _statement(piece: str, number: int) -> Statement:
    if len(piece.encode()) > MAX_STATEMENT_BYTES:
        raise StatementError(f"is longer than {MAX_STATEMENT_BYTES // 1024} KiB")
    parsed = parse_one(piece)
    check_functions(parsed)
    calls, name = _CALLS.search(piece), _NAME.search(piece)
    return Statement(name[1] if name else f"statement_{number}", piece, _count(calls))


def _count(match: re.Match[str] | None) -> float:
    if match is None:
        return 1.0
    try:
        calls = float(match[1].replace("_", "").replace(",", ""))
    except ValueError:
        calls = 0.0
    if not 0 < calls < 1e15:
        raise StatementError(f"has calls: {match[1]}, which is no number above 0")
    return calls


def _joined(one: Statement, other: Statement) -> Statement:
    """Two statements that differ in values: both are planned, up to a few."""
    examples = one.examples or (one.text,)
    if len(examples) < 5:
        examples = (*examples, other.text)
    return msgspec.structs.replace(one, calls=one.calls + other.calls, examples=examples)


def _named(statements: Sequence[Statement]) -> tuple[Statement, ...]:
    """No two of one name."""
    seen: dict[str, int] = {}
    named = []
    for statement in statements:
        seen[statement.name] = times = seen.get(statement.name, 0) + 1
        name = statement.name if times == 1 else f"{statement.name}_{times}"
        named.append(msgspec.structs.replace(statement, name=name))
    return tuple(named)


def shown(statement: Statement, width: int = 100) -> str:
    """A statement for people: one line, no values."""
    text = redacted(statement.text)
    return text if len(text) <= width else f"{text[: width - 1]}…"
