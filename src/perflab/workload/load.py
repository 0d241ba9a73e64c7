"""Runs a workload's scripts, dumps and CSV files on a database of the lab's own."""

from __future__ import annotations

import csv
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.sql import SQL, Identifier

from perflab.errors import ConfigError
from perflab.progress import Step
from perflab.workload.file import Workload, refuse_outside
from perflab.workload.script import ScriptError, Statement, split

_OWNER = re.compile(rb"\bOWNER\s+TO\s+\S+$", re.IGNORECASE)
_COMMENTS = re.compile(rb"(\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
"""What may stand before a statement's first word."""
_COPIED = re.compile(r"COPY .*, line (?P<line>\d+)")
_NEWER_SETTINGS = (b"transaction_timeout",)
"""Settings that a newer pg_dump writes and an older server does not know."""
_CHUNK_BYTES = 1 << 20


def load_data(
    conninfo: str, workload: Workload, step: Step, find_pg_restore: Callable[[], str]
) -> None:
    """Schema, dump, script and CSV files into an empty database.

    A ConfigError names the file, the line and the server's words. ``find_pg_restore`` is asked
    for the program only where the dump is no plain script.
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET synchronous_commit = off")
        conn.execute("SET client_min_messages = warning")
        settings = conn.execute("SHOW search_path").fetchone()
        step("schema", 0, 0)
        run_statements(conn, workload.schema, workload.schema_source)
        if workload.data.dump:
            step(workload.data.dump, 0, 0)
            _load_dump(conn, workload.beside(workload.data.dump), find_pg_restore)
        # a dump empties the search path of its session
        conn.execute("SELECT set_config('search_path', %s, false)", settings)
        if workload.data_sql:
            step("rows", 0, 0)
            run_statements(conn, workload.data_sql, workload.path)
        if workload.data.file:
            step(workload.data.file, 0, 0)
            source = workload.beside(workload.data.file)
            with source.open("rb") as lines:
                run_statements(conn, split(lines), source)
        for table, name in workload.data.csv.items():
            step(name, 0, 0)
            _load_csv(conn, workload, table, name)


def run_statements(
    conn: psycopg.Connection,
    statements: Iterable[Statement],
    source: Path,
    each: Callable[[Statement], None] | None = None,
) -> None:
    """Execute statements one by one; a ConfigError names ``source``, line and the server's words.

    Those that only give ownership or rights are passed over: the lab's database has one role.
    ``each`` is called after every statement that was executed.
    """
    try:
        for statement in statements:
            if _only_rights(statement):
                continue
            refuse_outside((statement,))
            _execute(conn, statement, source)
            if each:
                each(statement)
    except ScriptError as error:
        raise ConfigError(f"{source}, {error}") from None


def _execute(conn: psycopg.Connection, statement: Statement, source: Path) -> None:
    try:
        if statement.data is None:
            conn.execute(statement.sql)
            return
        with conn.cursor() as cursor, cursor.copy(statement.sql) as copy:
            for line in statement.data:
                copy.write(line)
    except psycopg.Error as error:
        newer = statement.words[:2] and statement.words[1].encode() in _NEWER_SETTINGS
        if isinstance(error, psycopg.errors.UndefinedObject) and newer:
            return
        raise ConfigError(
            f"{source}, line {_line(statement, error)}: {server_words(error)}; "
            f"in {_shortened(statement.text)!r}"
        ) from None


def _line(statement: Statement, error: psycopg.Error) -> int:
    """Where in the file the server found the fault: it counts characters, or lines of data."""
    comments = _COMMENTS.match(statement.sql)
    above = comments[0].count(b"\n") if comments else 0
    copied = _COPIED.match(error.diag.context or "")
    if copied:
        return statement.line + statement.sql.count(b"\n") - above + int(copied["line"])
    if error.diag.statement_position is None:
        return statement.line
    before = statement.sql.decode(errors="replace")[: int(error.diag.statement_position)]
    return statement.line + before.count("\n") - above


def server_words(error: psycopg.Error) -> str:
    """What the server says, in one line, with its detail or hint and the place in COPY data."""
    diag = error.diag
    if not diag.message_primary:
        return " ".join(str(error).split())
    copied = (diag.context or "").splitlines()
    extra = [diag.message_detail, diag.message_hint]
    extra += [line for line in copied[:1] if line.startswith("COPY ")]
    return " ".join(" (".join([diag.message_primary, *(f"{e})" for e in extra if e)]).split())


def _only_rights(statement: Statement) -> bool:
    words = statement.words
    if words[:1] in (("grant",), ("revoke",)) or words[:3] == ("alter", "default", "privileges"):
        return True
    return words[:1] == ("alter",) and _OWNER.search(statement.sql) is not None


def _load_dump(conn: psycopg.Connection, dump: Path, find_pg_restore: Callable[[], str]) -> None:
    if _is_archive(dump):
        with _as_script(dump, find_pg_restore()) as lines:
            run_statements(conn, split(lines), dump)
        return
    with dump.open("rb") as lines:
        run_statements(conn, split(lines), dump)


def _is_archive(dump: Path) -> bool:
    """Whether pg_restore has to read it: the custom, directory and tar formats."""
    if dump.is_dir():
        return True
    with dump.open("rb") as file:
        head = file.read(5)
    if head[:2] == b"\x1f\x8b":
        raise ConfigError(f"{dump}: is compressed with gzip; unpack it first")
    return head == b"PGDMP" or tarfile.is_tarfile(dump)


@contextmanager
def _as_script(dump: Path, pg_restore: str) -> Iterator[Iterable[bytes]]:
    """The lines of the SQL script that pg_restore makes of an archive, without owners."""
    argv = [pg_restore, "--no-owner", "--no-privileges", "--file=-", str(dump)]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        if process.stdout is None:
            raise RuntimeError("a pipe that was asked for is missing")
        try:
            yield process.stdout
            process.wait()
        finally:
            process.kill()
        said.seek(0)
        words = said.read().decode(errors="replace")
    if process.returncode:
        raise ConfigError(f"{dump}: {' '.join(words.split())}")


def _load_csv(conn: psycopg.Connection, workload: Workload, table: str, name: str) -> None:
    source = workload.beside(name)
    with source.open(newline="", encoding="utf-8-sig") as text:
        columns = next(csv.reader(text), [])
    if not columns:
        raise workload.error(
            ("data", "csv", table), f"{name} is empty; its first line names columns"
        )
    statement = SQL("COPY {} ({}) FROM STDIN (FORMAT csv, HEADER)").format(
        Identifier(*table.split(".")), SQL(", ").join(map(Identifier, columns))
    )
    try:
        with conn.cursor() as cursor, cursor.copy(statement) as copy, source.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                copy.write(chunk)
    except psycopg.Error as error:
        raise workload.error(("data", "csv", table), f"{name}: {server_words(error)}") from None


def _shortened(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
