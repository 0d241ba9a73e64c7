"""What statements would cost if indexes were there: by HypoPG, or built in a transaction.

Both answer one question: the planner's cost of a statement with some of the candidates and none
of the others. HypoPG pretends, at once and without a lock; it knows no GIN, and nothing of an
expression's values. A transaction builds every candidate once, on a copy that nobody else uses;
for each question it drops those that are not asked about and rolls the drop back, which rebuilds
nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
import psycopg

from perflab.advisor.candidates import Candidate
from perflab.advisor.errors import AdvisorError
from perflab.advisor.explain import estimate, looking
from perflab.advisor.partitions import families, parts_of
from perflab.schema.indexes import IndexSpec

HYPOPG_METHODS = frozenset({"btree", "brin", "hash"})
_LOOKS_S = 10.0


class Answer(msgspec.Struct, frozen=True):
    """The planner's word on one statement under one set of indexes."""

    cost: float
    """Mean over the examples."""
    used: frozenset[Candidate]


class WhatIf(Protocol):
    """Answers under imagined indexes, each made when it is first asked about."""

    size_bytes: dict[Candidate, int]
    """Of what was made."""
    rejected: dict[Candidate, str]
    """What could not be made, and why."""

    def ask(
        self, examples: Sequence[str], active: Collection[Candidate], tables: Collection[str]
    ) -> Answer:
        """The cost with exactly ``active`` of the candidates on ``tables``.

        Those that cannot be made count as absent. Raises psycopg.Error for a statement that the
        server refuses to plan.
        """


@contextmanager
def built_in_transaction(conninfo: str) -> Iterator[WhatIf]:
    """Build what is asked about in a transaction that is rolled back at the end.

    It locks their tables against writes: for a copy that nobody else uses.
    """
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute("SET maintenance_work_mem = '256MB'")
        with conn.transaction(force_rollback=True):
            yield _Built(conn)


@contextmanager
def hypothetical(conn: psycopg.Connection) -> Iterator[WhatIf]:
    """Imagine the indexes with HypoPG; an AdvisorError if the database does not have it."""
    if not has_hypopg(conn):
        raise AdvisorError(
            f"database {conn.info.dbname!r} has no HypoPG, and no index is built there to try it;"
            " install the package of that name for the server and run CREATE EXTENSION hypopg, or"
            " let a copy be made (--copy-data)"
        )
    with looking(conn, _LOOKS_S):
        conn.execute("SELECT hypopg_reset()")
        try:
            yield _Imagined(conn)
        finally:
            if conn.info.transaction_status != psycopg.pq.TransactionStatus.INERROR:
                conn.execute("SELECT hypopg_reset()")


def has_hypopg(conn: psycopg.Connection) -> bool:
    """Whether the connected database has the extension."""
    found = conn.execute("SELECT 1 FROM pg_extension WHERE extname = 'hypopg'").fetchone()
    return found is not None


class _Built:
    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._names: dict[Candidate, str] = {}
        self._plans_say: dict[str, Candidate] = {}
        self._families = families(conn)
        self.size_bytes: dict[Candidate, int] = {}
        self.rejected: dict[Candidate, str] = {}

    def ask(
        self, examples: Sequence[str], active: Collection[Candidate], tables: Collection[str]
    ) -> Answer:
        for candidate in active:
            if candidate not in self._names and candidate not in self.rejected:
                self._build(candidate)
        touched = {*tables, *self._families}
        hidden = [c for c in self._names if c.table in touched and c not in active]
        with self._conn.transaction(force_rollback=True):
            if hidden:
                paths = ", ".join(self._spec(candidate).path for candidate in hidden)
                self._conn.execute(f"DROP INDEX {paths}".encode())
            return _answer(self._conn, examples, self._plans_say)

    def _build(self, candidate: Candidate) -> None:
        self._names[candidate] = f"perflab_what_if_{len(self._names)}"
        spec = self._spec(candidate)
        try:
            with self._conn.transaction():
                self._conn.execute(spec.create_sql(concurrently=False).encode())
                if any("(" in key for key in candidate.keys):
                    # what an expression's values are like is known once it has an index
                    self._conn.execute(f"ANALYZE {candidate.table}".encode())
                parts = parts_of(self._conn, spec.path)
                row = self._conn.execute(_SIZE, {"index": spec.path}).fetchone()
        except psycopg.Error as error:
            if self._conn.broken or self._conn.closed:
                raise
            del self._names[candidate]
            self.rejected[candidate] = str(error).splitlines()[0]
        else:
            self._plans_say |= dict.fromkeys((spec.name, *parts), candidate)
            self.size_bytes[candidate] = int(row[0]) if row else 0

    def _spec(self, candidate: Candidate) -> IndexSpec:
        """The candidate under the name that it has here."""
        return msgspec.structs.replace(candidate.spec(), name=self._names[candidate])


_SIZE = """
    SELECT coalesce(sum(pg_relation_size(relid)), pg_relation_size(%(index)s::regclass))
    FROM pg_partition_tree(%(index)s::regclass)
"""


class _Imagined:
    def __init__(self, conn: psycopg.Connection) -> None:
        self._conn = conn
        self._parts: dict[str, tuple[str, ...]] = {}
        self.size_bytes: dict[Candidate, int] = {}
        self.rejected: dict[Candidate, str] = {}

    def ask(
        self, examples: Sequence[str], active: Collection[Candidate], tables: Collection[str]
    ) -> Answer:
        self._conn.execute("SELECT hypopg_reset()")
        by_name: dict[str, Candidate] = {}
        for candidate in active:
            if candidate.method not in HYPOPG_METHODS:
                self.rejected[candidate] = f"HypoPG knows no {candidate.method} index"
            elif candidate not in self.rejected:
                by_name |= dict.fromkeys(self._imagine(candidate), candidate)
        return _answer(self._conn, examples, by_name)

    def _imagine(self, candidate: Candidate) -> list[str]:
        """Names of what was imagined: HypoPG takes tables that hold rows, so one a partition."""
        if candidate.table not in self._parts:
            self._parts[candidate.table] = parts_of(self._conn, candidate.table)
        names, size = [], 0
        try:
            with self._conn.transaction():
                for part in self._parts[candidate.table]:
                    spec = msgspec.structs.replace(candidate.spec(), table=part)
                    row = self._conn.execute(
                        "SELECT indexname::text, hypopg_relation_size(indexrelid)"
                        " FROM hypopg_create_index(%s)",
                        [spec.create_sql(concurrently=False)],
                    ).fetchone()
                    if row is None:
                        raise RuntimeError("hypopg_create_index returned no row")
                    names.append(str(row[0]))
                    size += int(row[1])
        except psycopg.Error as error:
            if self._conn.broken or self._conn.closed:
                raise
            self.rejected[candidate] = str(error).splitlines()[0]
            return []
        self.size_bytes[candidate] = size
        return names


def _answer(
    conn: psycopg.Connection, examples: Sequence[str], by_name: dict[str, Candidate]
) -> Answer:
    found = [estimate(conn, example) for example in examples]
    used = {by_name[name] for one in found for name in one.plan.index_names if name in by_name}
    return Answer(sum(one.cost for one in found) / len(found), frozenset(used))
