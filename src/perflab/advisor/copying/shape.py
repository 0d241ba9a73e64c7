"""What tables of a target look like, and which of them a copy needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from perflab.advisor.copying.functions import Function

KeyKind = Literal["p", "u", "x", "c", "f"]


class Column(msgspec.Struct, frozen=True):
    """One column; names are quoted where SQL needs it."""

    name: str
    type: str
    """Schema included where it is no type of PostgreSQL's own."""
    not_null: bool
    counted: bool
    """Numbered by a sequence where a statement gives no value."""
    default: str
    generated: str = ""
    """What it is computed from, where it is a generated column."""
    virtual: bool = False
    """Whether such a one is computed when it is read."""
    extension: str = ""
    """What the type belongs to."""


class Key(msgspec.Struct, frozen=True):
    """A constraint: primary key, unique, exclusion, check or foreign key."""

    name: str
    kind: KeyKind
    columns: tuple[str, ...]
    parent: str
    """The table that a foreign key refers to; empty for others."""
    parent_columns: tuple[str, ...]
    parent_types: tuple[str, ...]
    definition: str


class Partition(msgspec.Struct, frozen=True):
    """One partition of a partitioned table, or a partition of a partition."""

    name: str
    parent: str
    bound: str
    """``FOR VALUES ...`` or ``DEFAULT``."""
    by: str
    """How it is partitioned itself; empty where it holds rows."""
    foreign: bool
    """Whether its rows are on another server."""
    indexes: tuple[str, ...]
    """Statements that make the indexes that it alone has."""


class Table(msgspec.Struct, frozen=True):
    """One table or materialised view, or one partitioned table with all that it consists of."""

    name: str
    """With its schema, quoted."""
    oid: int
    rows: float
    """By the statistics; negative where nobody has counted."""
    pages: int
    size_bytes: int
    """Without indexes."""
    readable: bool
    """Whether the role may read all of it."""
    columns: tuple[Column, ...]
    keys: tuple[Key, ...]
    indexes: tuple[str, ...]
    """Statements that make the indexes that belong to no constraint."""
    by: str = ""
    """How it is partitioned, as ``PARTITION BY`` takes it."""
    partitions: tuple[Partition, ...] = ()
    """Of all levels, each after its parent."""

    @property
    def parents(self) -> tuple[Key, ...]:
        """Foreign keys."""
        return tuple(key for key in self.keys if key.kind == "f")

    @property
    def expressions(self) -> tuple[str, ...]:
        """All that may call functions."""
        columns = (text for c in self.columns for text in (c.default, c.generated))
        keys = (key.definition for key in self.keys)
        parts = (text for p in self.partitions for text in (p.by, *p.indexes))
        return (*columns, *keys, *self.indexes, self.by, *parts)


class Type(msgspec.Struct, frozen=True):
    """A type of the target's own, and the statement that makes it."""

    name: str
    ddl: str
    without_checks: str = ""
    """The same for a domain whose checks cannot be had."""


class Shape(msgspec.Struct, frozen=True):
    """All that is to be made before rows can come."""

    tables: tuple[Table, ...]
    types: tuple[Type, ...]
    extensions: dict[str, str]
    """With the schema that each is in, quoted."""
    path: tuple[str, ...]
    """Schemas that are searched, quoted."""
    functions: tuple[Function, ...] = ()
    absent: dict[str, str] = {}
    """What statements may name and a copy does not get, and why."""

    def only(self, tables: Iterable[Table]) -> Shape:
        """The same with these tables."""
        return msgspec.structs.replace(self, tables=tuple(tables))


def with_parents(shape: Shape, names: Collection[str]) -> Shape:
    """The tables of these names and, over foreign keys, all that their rows need; by name.

    A parent that the role may not read is left out, with the foreign keys that lead to it.
    """
    by_name = {table.name: table for table in shape.tables}
    found: dict[str, Table] = {}
    waiting = [name for name in names if name in by_name]
    while waiting:
        table = by_name[waiting.pop()]
        if table.name in found:
            continue
        keys = tuple(k for k in table.keys if not k.parent or _reads(by_name, k.parent))
        found[table.name] = msgspec.structs.replace(table, keys=keys)
        waiting.extend(key.parent for key in found[table.name].parents)
    return shape.only(found[name] for name in sorted(found))


def _reads(by_name: dict[str, Table], name: str) -> bool:
    return name in by_name and by_name[name].readable
