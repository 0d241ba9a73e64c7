"""What a workload needs of a target: its tables, their parents, and the functions they call."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec
import psycopg

from perflab.advisor.advice import Unplanned
from perflab.advisor.catalog import Catalog
from perflab.advisor.copying.catalogs import read_shape
from perflab.advisor.copying.functions import called, needed_functions, read_functions
from perflab.advisor.copying.shape import Shape, Table, with_parents
from perflab.advisor.errors import AdvisorError, StatementError
from perflab.advisor.sql import tables_of
from perflab.advisor.target import VARIABLE
from perflab.advisor.workload import Statement

_NAMED = re.compile(r'(?:relation "(?P<relation>[^"]+)"|function (?P<function>[^(]+)\()')


def read_needed(
    target: psycopg.Connection, statements: Sequence[Statement], catalog: Catalog
) -> Shape:
    """The shape of what ``statements`` name, and of all that this needs.

    Raises AdvisorError where the role may not read a table that a statement names, StatementError
    where none names any.
    """
    functions, acting = read_functions(target)
    whole = without_acting(read_shape(target), acting)
    texts = [statement.text for statement in statements]
    named = {name for text in texts for name in tables_of(text)}
    while True:
        wanted = _found(named, whole, catalog)
        if not wanted:
            raise StatementError("no statement of the workload names a table of the target")
        shape = with_parents(whole, wanted)
        expressions = [text for table in shape.tables for text in table.expressions]
        types = [one.ddl for one in whole.types]
        needed = needed_functions(functions, (*texts, *expressions, *types), acting)
        if needed.tables <= named:  # a function may read tables that no statement names
            break
        named |= needed.tables
    closed = sorted(t.name for t in shape.tables if t.name in wanted and not t.readable)
    if closed:
        raise AdvisorError(
            f"{VARIABLE}: the role {target.info.user!r} may not read {', '.join(closed)};"
            " grant it SELECT there, or leave out the statements that name it"
        )
    return msgspec.structs.replace(
        shape, functions=needed.functions, absent={**shape.absent, **needed.refused}
    )


def without_acting(shape: Shape, acting: Collection[str]) -> Shape:
    """The same without checks and defaults that call what does more than compute.

    On the copy they would run with the rights of whoever fills it. Indexes, generated columns and
    keys of partitions cannot have any, since PostgreSQL wants these immutable.
    """

    def acts(text: str) -> bool:
        try:
            return not called(text).isdisjoint(acting)
        except StatementError:  # a name in disguise
            return True

    def tame(table: Table) -> Table:
        columns = (
            msgspec.structs.replace(c, default="") if acts(c.default) else c for c in table.columns
        )
        keys = (key for key in table.keys if key.kind != "c" or not acts(key.definition))
        return msgspec.structs.replace(table, columns=tuple(columns), keys=tuple(keys))

    types = (
        msgspec.structs.replace(one, ddl=one.without_checks)
        if one.without_checks and acts(one.ddl)
        else one
        for one in shape.types
    )
    return msgspec.structs.replace(shape, tables=tuple(map(tame, shape.tables)), types=tuple(types))


def _found(names: Iterable[tuple[str, str]], shape: Shape, catalog: Catalog) -> set[str]:
    """The tables that are meant; of a partition, what it is part of."""
    roots = {part.name: table.name for table in shape.tables for part in table.partitions}
    known = {table.name for table in shape.tables}
    found = (catalog.find(name, schema) for schema, name in names)
    meant = {roots.get(table.qualified, table.qualified) for table in found if table}
    return meant & known


def left_out(needed: Shape, made: Shape) -> tuple[str, ...]:
    """A line for each table and function of ``needed`` that ``made`` has not."""
    tables = {table.name for table in needed.tables}
    lines = [f"table {name}: {why}" for name, why in made.absent.items() if name in tables]
    functions = {name: why for name, why in made.absent.items() if name.endswith(")")}
    return (*lines, *(f"function {name}: {why}" for name, why in functions.items()))


def explained(unplanned: Iterable[Unplanned], absent: Mapping[str, str]) -> tuple[Unplanned, ...]:
    """The same, with the reason why a copy has not what a statement names."""
    whys = {name.partition("(")[0].replace('"', ""): why for name, why in absent.items()}
    short = {name.rpartition(".")[2]: why for name, why in whys.items()}

    def one(what: Unplanned) -> Unplanned:
        match = _NAMED.search(what.reason)
        name = (match["relation"] or match["function"]) if match else ""
        why = whys.get(name) or short.get(name)
        return Unplanned(what.name, f"{name} is not in the copy: {why}") if why else what

    return tuple(map(one, unplanned))
