"""The workload file: TOML that names schema, data, queries with their parameters, and DDL."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

import msgspec

from perflab.config import error_at, load_toml
from perflab.errors import ConfigError
from perflab.workload.generators import KINDS, OPTIONS, Distribution, Spec, Unusable, check
from perflab.workload.placeholders import PlaceholderError, placeholders, without_percent
from perflab.workload.script import ScriptError, Statement, read, read_text

Selectivity = Literal["light", "typical", "heavy"]

ALL = "all"
"""What a claim is about that names neither a query nor a category."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OUTSIDE = ("database", "role", "user", "group", "tablespace", "system")
"""What CREATE, ALTER or DROP would change beyond the lab's own database."""


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Statements in the file itself or in one beside it."""

    sql: str = ""
    file: str = ""


class Data(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the rows come from, in this order."""

    dump: str = ""
    """What pg_dump wrote, in any of its formats."""
    sql: str = ""
    file: str = ""
    """A script that inserts rows, also from COPY blocks."""
    csv: dict[str, str] = {}
    """A file by table; its first line names the columns."""


class Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters drawn together as one row of a query; its columns are their names."""

    sql: str
    distribution: Distribution = "uniform"
    skew: float | None = None


class _Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    category: str = "queries"
    sql: str = ""
    file: str = ""
    selectivity: Selectivity = "typical"
    parameters: dict[str, dict[str, Any]] = {}
    rows: tuple[Rows, ...] = ()


class _Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    query: str = ""
    category: str = ""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    after: Script
    query: tuple[_Query, ...]
    schema: Script = Script()
    data: Data = Data()
    timeout_s: float = 30.0
    claim: tuple[_Claim, ...] = ()


class Query(msgspec.Struct, frozen=True):
    """One query of the file."""

    name: str
    category: str
    sql: str
    """With ``%(name)s`` placeholders, as psycopg takes it."""
    placeholders: tuple[str, ...]
    parameters: dict[str, Spec]
    rows: tuple[Rows, ...]
    selectivity: Selectivity
    steps: tuple[str | int, ...]
    """Where it stands in the file."""
    key: str
    """Where its statement stands below that: ``sql`` or ``file``."""


class Workload(msgspec.Struct, frozen=True):
    """A checked workload file with its paths resolved."""

    path: Path
    title: str
    timeout_s: float
    schema: tuple[Statement, ...]
    schema_source: Path
    """The file that ``schema``'s line numbers count in."""
    data: Data
    data_sql: tuple[Statement, ...]
    """The statements of ``data.sql``."""
    after: tuple[Statement, ...]
    after_source: Path
    queries: tuple[Query, ...]
    claims: dict[str, str]
    """By claim id what it is about: ``query:name``, ``category:name`` or ``all``."""

    @property
    def categories(self) -> tuple[str, ...]:
        """The categories in the file's order."""
        return tuple(dict.fromkeys(query.category for query in self.queries))

    @property
    def timeout_ms(self) -> int:
        """``timeout_s`` as statement_timeout takes it, where 0 would mean none."""
        return max(1, round(1000 * self.timeout_s))

    def beside(self, name: str) -> Path:
        """A file that the workload names, relative to its own folder."""
        return self.path.parent / name

    def error(self, steps: tuple[str | int, ...], reason: str) -> ConfigError:
        """An error at a place of the file."""
        return error_at(self.path, list(steps), reason)


def load_workload(path: Path) -> Workload:
    """The workload in a file; a ConfigError names file, line, key and reason.

    Checks all that needs no server: the data itself is read when it is loaded.
    """
    given = load_toml(path, _File)
    reader = _Reader(path)
    if not given.title.strip():
        reader.refuse(["title"], "is empty")
    if not 0 < given.timeout_s <= 3600:
        reader.refuse(["timeout_s"], f"{given.timeout_s:g}: give seconds from above 0 to 3600")
    if not given.query:
        reader.refuse(["query"], "there is none; add a [[query]] with name and sql")
    schema, schema_source = reader.script(["schema"], given.schema)
    reader.data(given)
    after, after_source = reader.script(["after"], given.after)
    if not after:
        reader.refuse(["after"], "holds no statement; give the DDL to measure as sql or file")
    return Workload(
        path=path,
        title=given.title.strip(),
        timeout_s=given.timeout_s,
        schema=schema,
        schema_source=schema_source,
        data=given.data,
        data_sql=reader.inline(["data", "sql"], given.data.sql),
        after=after,
        after_source=after_source,
        queries=reader.queries(given.query),
        claims=reader.claims(given),
    )


class _Reader:
    """Checks the parts of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def refuse(self, steps: list[str | int], reason: str) -> NoReturn:
        raise error_at(self._path, steps, reason)

    def script(self, steps: list[str | int], script: Script) -> tuple[tuple[Statement, ...], Path]:
        """The statements, and the file in which their lines count."""
        if script.sql and script.file:
            self.refuse([*steps, "file"], "sql is given too; keep one of them")
        if not script.file:
            return self.inline([*steps, "sql"], script.sql), self._path
        source = self.existing([*steps, "file"], script.file)
        try:
            with source.open("rb") as lines:
                statements = read(lines)
            refuse_outside(statements)
        except ScriptError as error:
            raise ConfigError(f"{source}, {error}") from None
        return statements, source

    def inline(self, steps: list[str | int], sql: str) -> tuple[Statement, ...]:
        """The statements of a text in the file, with the file's own line numbers."""
        if not sql:
            return ()
        try:
            statements = read_text(sql, self._line_of(sql))
            refuse_outside(statements)
        except ScriptError as error:
            key = ".".join(str(step) for step in steps)
            raise ConfigError(f"{self._path}, line {error.line}, {key}: {error.reason}") from None
        return statements

    def _line_of(self, sql: str) -> int:
        """Where a text begins in the file, by its first line where escapes hide the rest."""
        whole = self._path.read_text(encoding="utf-8")
        for part in (sql, sql.partition("\n")[0]):
            above, found, _ = whole.partition(part)
            if part and found:
                return above.count("\n") + 1
        return 1

    def existing(self, steps: list[str | int], name: str, *, folder: bool = False) -> Path:
        path = self._path.parent / name
        if not (path.is_file() or (folder and path.is_dir())):
            self.refuse(steps, f"{name!r}: no such file beside {self._path.name}")
        if not os.access(path, os.R_OK):
            self.refuse(steps, f"{name!r}: cannot be read; change its permissions")
        return path

    def data(self, given: _File) -> None:
        data = given.data
        if data.sql and data.file:
            self.refuse(["data", "file"], "sql is given too; keep one of them")
        if data.dump:
            self.existing(["data", "dump"], data.dump, folder=True)
        if data.file:
            self.existing(["data", "file"], data.file)
        for table, name in data.csv.items():
            self.existing(["data", "csv", table], name)
        if not (given.schema.sql or given.schema.file or data.dump or data.file or data.sql):
            self.refuse(["schema"], "neither a schema nor a dump is given; where are the tables?")

    def queries(self, given: tuple[_Query, ...]) -> tuple[Query, ...]:
        found: dict[str, Query] = {}
        for number, query in enumerate(given):
            steps: list[str | int] = ["query", number]
            for key, value in (("name", query.name), ("category", query.category)):
                if not _NAME.fullmatch(value):
                    self.refuse([*steps, key], f"{value!r}: use lower-case letters, digits and _")
            if query.name in found:
                self.refuse([*steps, "name"], f"{query.name!r} is used twice; names must differ")
            if query.category == ALL:
                self.refuse([*steps, "category"], "'all' means all queries; choose another word")
            found[query.name] = self._query(steps, query)
        return tuple(found.values())

    def _query(self, steps: list[str | int], query: _Query) -> Query:
        sql = self._statement(steps, query)
        key = "file" if query.file else "sql"
        try:
            names = placeholders(sql)
            statements = read_text(without_percent(sql))
        except (PlaceholderError, ScriptError) as error:
            self.refuse([*steps, key], str(error))
        if len(statements) != 1:
            self.refuse(
                [*steps, key], f"{len(statements)} statements; a query is exactly one statement"
            )
        for name in query.parameters:
            if name not in names:
                self.refuse(
                    [*steps, "parameters", name], f"the sql has no %({name})s; remove one or add it"
                )
        missing = [name for name in names if name not in query.parameters]
        if missing and not query.rows:
            self.refuse(
                [*steps, key],
                f"%({missing[0]})s has no generator; add {missing[0]} under [query.parameters]",
            )
        for number, rows in enumerate(query.rows):
            self._rows([*steps, "rows", number], rows)
        return Query(
            name=query.name,
            category=query.category,
            sql=sql,
            placeholders=names,
            parameters={
                name: self._spec([*steps, "parameters", name], raw)
                for name, raw in query.parameters.items()
            },
            rows=query.rows,
            selectivity=query.selectivity,
            steps=tuple(steps),
            key=key,
        )

    def _statement(self, steps: list[str | int], query: _Query) -> str:
        if bool(query.sql.strip()) == bool(query.file):
            self.refuse([*steps, "sql"], f"query {query.name!r}: give one of sql and file")
        sql = query.sql
        if query.file:
            try:
                sql = self.existing([*steps, "file"], query.file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                self.refuse([*steps, "file"], f"cannot be read: {error}")
        return sql.strip().removesuffix(";").rstrip()

    def _rows(self, steps: list[str | int], rows: Rows) -> None:
        try:
            check(Spec(sql=rows.sql, distribution=rows.distribution, skew=rows.skew))
        except Unusable as error:
            self.refuse([*steps, error.key], str(error))

    def _spec(self, steps: list[str | int], raw: Mapping[str, Any]) -> Spec:
        try:
            spec = msgspec.convert(raw, Spec)
            check(spec)
        except msgspec.ValidationError as error:
            reason, _, place = str(error).partition(" - at `$")
            key = re.search(r"\w+", place)
            if "unknown field" in reason:
                reason += f"; known are {', '.join((*KINDS, *OPTIONS))}"
            self.refuse(steps, f"{key[0]}: {reason}" if key else reason)
        except Unusable as error:
            self.refuse(steps, f"{error.key}: {error}" if error.key else str(error))
        return spec

    def claims(self, given: _File) -> dict[str, str]:
        found: dict[str, str] = {}
        names = {query.name for query in given.query}
        categories = {query.category for query in given.query}
        for number, claim in enumerate(given.claim):
            steps: list[str | int] = ["claim", number]
            if claim.query and claim.category:
                self.refuse([*steps, "category"], "query is given too; keep one of them")
            if claim.id in found:
                self.refuse([*steps, "id"], f"{claim.id!r} is mapped twice; keep one")
            for key, value, known in (
                ("query", claim.query, names),
                ("category", claim.category, categories),
            ):
                if value and value not in known:
                    self.refuse(
                        [*steps, key],
                        f"{value!r} is unknown; choose one of {', '.join(sorted(known))}",
                    )
            found[claim.id] = (
                f"query:{claim.query}"
                if claim.query
                else f"category:{claim.category}"
                if claim.category
                else ALL
            )
        return found


def refuse_outside(statements: tuple[Statement, ...]) -> None:
    """Raise a ScriptError for a statement that would change more than the lab's own database."""
    for statement in statements:
        words = statement.words
        verb, what = (*words, "", "")[:2]
        if verb in ("create", "alter", "drop") and what in _OUTSIDE and words[2:3] != ("mapping",):
            raise ScriptError(
                statement.line,
                f"{verb.upper()} {what.upper()} reaches beyond the lab's own database; "
                "leave it out",
            )
