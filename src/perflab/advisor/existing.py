"""Indexes that are there and earn nothing: unused, duplicate, redundant, invalid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from perflab.advisor.catalog import Catalog, IndexFacts, TableFacts

Fault = Literal["invalid", "duplicate", "redundant", "unused"]


class Idle(msgspec.Struct, frozen=True):
    """One index that could go."""

    name: str
    table: str
    fault: Fault
    reason: str
    size_bytes: int
    definition: str
    partitioned: bool = False
    """Of a partitioned table, whose indexes cannot be dropped CONCURRENTLY."""

    @property
    def ddl(self) -> str:
        """The statement that drops it, without blocking writers where that can be done."""
        return f"DROP INDEX {'' if self.partitioned else 'CONCURRENTLY '}{self.name}"


def idle_indexes(catalog: Catalog) -> tuple[Idle, ...]:
    """Every index that could go, worst first; those that keep a promise (unique) are not listed.

    ``unused`` rests on the statistics since they were last reset, on this server alone: a replica
    may use what a primary does not.
    """
    found = [idle for table in catalog.tables for idle in _of_table(table)]
    order = ("invalid", "duplicate", "redundant", "unused")
    return tuple(sorted(found, key=lambda i: (order.index(i.fault), -i.size_bytes, i.name)))


def _of_table(table: TableFacts) -> Iterator[Idle]:
    def idle(index: IndexFacts, fault: Fault, reason: str) -> Idle:
        return Idle(
            index.name, table.name, fault, reason, index.size_bytes, index.definition,
            index.partitioned,
        )  # fmt: skip

    for index in table.indexes:
        if index.constraint or index.attached:
            continue
        if not index.valid:
            reason = "a build that failed; it serves nobody and costs writes"
            if index.partitioned:
                reason = "some partition has no index attached to it"
            yield idle(index, "invalid", reason)
            continue
        if index.unique:
            continue
        covering = next((o for o in table.indexes if o is not index and _covers(o, index)), None)
        if covering is None:
            if index.scans == 0:
                yield idle(index, "unused", "no scan since statistics were reset")
        elif _same(covering, index):
            yield idle(index, "duplicate", f"the same as {covering.name}")
        else:
            yield idle(index, "redundant", f"{covering.name} begins with the same columns")


def _same(one: IndexFacts, other: IndexFacts) -> bool:
    return one.keys == other.keys and one.include == other.include and one.where == other.where


def _covers(one: IndexFacts, other: IndexFacts) -> bool:
    """Whether ``one`` answers all that ``other`` does; of twins, the one that stays covers."""
    if not one.valid or one.method != other.method or one.where not in ("", other.where):
        return False
    if _same(one, other):
        return (not one.unique, one.name) < (not other.unique, other.name)
    if one.method != "btree":
        return False
    return (
        one.keys[: len(other.keys)] == other.keys
        and set(other.include) <= {*one.keys, *one.include}
        and one.where == other.where
    )
