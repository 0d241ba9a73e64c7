"""EXPLAIN (ANALYZE, BUFFERS) as a typed value: which scans, which indexes, which pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import psycopg


class Scan(msgspec.Struct, frozen=True):
    """One node that reads a table or an index."""

    node: str
    """As PostgreSQL names it, such as "Index Only Scan"."""
    relation: str
    """The table; empty for a bitmap index scan, which names only its index."""
    index: str
    """The index; empty for a sequential scan."""
    rows: float
    """Rows (or index entries) it gave, over all its loops; the estimate without ANALYZE."""
    removed: float
    """Rows read and thrown away by a filter, over all loops."""
    heap_fetches: int
    """Heap pages an index-only scan had to look at after all."""


class Plan(msgspec.Struct, frozen=True):
    """How one statement was, or would be, executed."""

    scans: tuple[Scan, ...]
    nodes: tuple[str, ...]
    """All node types, from the root down."""
    shared_hit: int
    """8 kB pages found in shared buffers."""
    shared_read: int
    """8 kB pages read from the operating system."""
    execution_ms: float
    planning_ms: float
    rows: float
    settings: dict[str, str]
    """Planner settings that differ from their defaults."""
    text: str
    """The plan as JSON."""

    @property
    def index_names(self) -> tuple[str, ...]:
        """The indexes used, in order of appearance, each once."""
        return tuple(dict.fromkeys(scan.index for scan in self.scans if scan.index))

    @property
    def sequential(self) -> tuple[str, ...]:
        """The tables read from end to end."""
        return tuple(dict.fromkeys(s.relation for s in self.scans if s.node.endswith("Seq Scan")))

    @property
    def summary(self) -> str:
        """One phrase for a table: "Index Only Scan (idx_a), Seq Scan (tasks)"."""
        parts = (f"{scan.node} ({scan.index or scan.relation})" for scan in self.scans)
        return ", ".join(dict.fromkeys(parts))


def explain(
    conn: psycopg.Connection, sql: str, params: Mapping[str, object], analyze: bool = True
) -> Plan:
    """The plan of ``sql`` for these parameters, executed unless ``analyze`` is False.

    The parameters stand in the statement as constants, which is what a custom plan sees.
    """
    options = (
        "ANALYZE, BUFFERS, SETTINGS, FORMAT JSON" if analyze else "SUMMARY, SETTINGS, FORMAT JSON"
    )
    with psycopg.ClientCursor(conn) as cursor:
        row = cursor.execute(f"EXPLAIN ({options}) {sql}".encode(), params).fetchone()
    if row is None:
        raise RuntimeError("EXPLAIN returned no row")
    (document,) = row[0]
    return parse_plan(document)


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """The :class:`Plan` in one element of EXPLAIN's JSON."""
    root = document["Plan"]
    nodes = list(walk_plan(root))
    return Plan(
        scans=tuple(_scan(node) for node in nodes if "Scan" in node["Node Type"] and _reads(node)),
        nodes=tuple(_name(node) for node in nodes),
        shared_hit=root.get("Shared Hit Blocks", 0),
        shared_read=root.get("Shared Read Blocks", 0),
        execution_ms=document.get("Execution Time", 0.0),
        planning_ms=document.get("Planning Time", 0.0),
        rows=_rows(root),
        settings=dict(document.get("Settings", {})),
        text=json.dumps(document, indent=1),
    )


def walk_plan(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A node of EXPLAIN's JSON and everything below it, from the root down."""
    yield node
    for child in node.get("Plans", ()):
        yield from walk_plan(child)


def _reads(node: Mapping[str, Any]) -> bool:
    return "Relation Name" in node or "Index Name" in node


def _name(node: Mapping[str, Any]) -> str:
    parallel = "Parallel " if node.get("Parallel Aware") else ""
    return parallel + str(node["Node Type"])


def _rows(node: Mapping[str, Any]) -> float:
    if "Actual Rows" in node:
        return float(node["Actual Rows"]) * float(node["Actual Loops"])
    return float(node["Plan Rows"])


def _scan(node: Mapping[str, Any]) -> Scan:
    loops = float(node.get("Actual Loops", 1))
    return Scan(
        node=_name(node),
        relation=node.get("Relation Name", ""),
        index=node.get("Index Name", ""),
        rows=_rows(node),
        removed=float(node.get("Rows Removed by Filter", 0)) * loops,
        heap_fetches=int(node.get("Heap Fetches", 0)),
    )
