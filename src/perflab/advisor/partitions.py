"""Indexes of partitioned tables: what they consist of, and how they are made in use.

PostgreSQL makes no index of a partitioned table CONCURRENTLY. Its documented way (CREATE INDEX,
"Building Indexes Concurrently") is an index ON ONLY the partitioned table, which is invalid, one
CONCURRENTLY on each partition, and to attach these: with the last one the first becomes valid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import psycopg

from perflab.advisor.candidates import Candidate
from perflab.advisor.catalog import Catalog, TableFacts
from perflab.schema.indexes import IndexSpec


def folded(
    candidates: Mapping[Candidate, Sequence[str]], catalog: Catalog
) -> dict[Candidate, tuple[str, ...]]:
    """The same without a partition's candidates that one of its whole table would bring along."""
    whole: dict[str, list[str]] = {}
    for table in catalog.tables:
        for part in table.partitions:
            whole.setdefault(part.name, []).append(table.name)
    found: dict[Candidate, tuple[str, ...]] = {}
    for candidate, served in candidates.items():
        above = sorted(whole.get(candidate.table, ()), key=lambda t: -_size(catalog, t))
        same = (msgspec.structs.replace(candidate, table=table) for table in above)
        stays = next((one for one in same if one in candidates), candidate)
        found[stays] = tuple(dict.fromkeys((*found.get(stays, ()), *served)))
    return found


def _size(catalog: Catalog, table: str) -> int:
    return len(catalog.by_name[table].partitions)


def statements_for(candidate: Candidate, catalog: Catalog) -> tuple[str, ...]:
    """What makes the index on a server in use, without blocking writers for long."""
    table = catalog.by_name[candidate.table]
    if not table.partitions:
        return (candidate.spec().ddl,)
    specs = {table.name: candidate.spec()}
    for part in table.partitions:
        specs[part.name] = msgspec.structs.replace(candidate, table=part.name).spec()
    leaves = {part.name for part in table.partitions if part.leaf}
    there = {name: _there(candidate, catalog.by_name[name]) for name in leaves}
    made = [
        spec.ddl if name in leaves else _only(spec)
        for name, spec in specs.items()
        if not there.get(name)
    ]
    joined = [
        f"ALTER INDEX {specs[part.parent].path}"
        f" ATTACH PARTITION {there.get(part.name) or specs[part.name].path}"
        for part in reversed(table.partitions)  # the lowest first
    ]
    return (*made, *joined)


def _there(candidate: Candidate, table: TableFacts) -> str:
    """An index that a partition has already and that can be attached; empty without one."""
    wanted = (candidate.method, candidate.keys, candidate.include, candidate.where)
    return next(
        (
            index.name
            for index in table.indexes
            if index.valid
            and not index.attached
            and (index.method, index.keys, index.include, index.where) == wanted
        ),
        "",
    )


def _only(spec: IndexSpec) -> str:
    return f"CREATE INDEX {spec.name} ON ONLY {spec.table} {spec.on}"


def attached_indexes(conn: psycopg.Connection) -> dict[str, str]:
    """Names, as plans have them: the index of each partition, and the one it is attached to."""
    rows = conn.execute(
        "SELECT x.relname::text, r.relname::text FROM pg_class x"
        " JOIN pg_class r ON r.oid = pg_partition_root(x.oid)"
        " WHERE x.relkind = 'i' AND x.relispartition"
    ).fetchall()
    return {str(name): str(root) for name, root in rows}


def parts_of(conn: psycopg.Connection, name: str) -> tuple[str, ...]:
    """The partitions that hold a table's rows, or a partitioned index's own; itself if none.

    Tables as SQL writes them, indexes without their schema, as plans have them.
    """
    rows = conn.execute(
        "SELECT CASE c.relkind WHEN 'i' THEN c.relname::text ELSE t.relid::text END"
        " FROM pg_partition_tree(%(name)s::regclass) t JOIN pg_class c ON c.oid = t.relid"
        " WHERE t.isleaf AND t.relid <> %(name)s::regclass ORDER BY 1",
        {"name": name},
    ).fetchall()
    return tuple(str(part) for (part,) in rows) or (name,)


def families(conn: psycopg.Connection) -> frozenset[str]:
    """Partitioned tables and partitions: an index of one may serve who reads another."""
    rows = conn.execute(
        "SELECT oid::regclass::text FROM pg_class"
        " WHERE relkind = 'p' OR relkind IN ('r', 'f') AND relispartition"
    ).fetchall()
    return frozenset(str(name) for (name,) in rows)
