"""On Debian's PostgreSQL with HypoPG: no index is made, and no GENERIC_PLAN is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from perflab.advisor.candidates import find_candidates
from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.explain import GENERIC_PLAN, estimate, looking
from perflab.advisor.reading import uses_of
from perflab.advisor.selection import Selection, select
from perflab.advisor.sql import parse_one
from perflab.advisor.statement_stats import take_snapshot
from perflab.advisor.whatif import built_in_transaction, hypothetical
from perflab.advisor.workload import Statement
from perflab.services import Postgres, PostgresSettings, open_services

from .conftest import SHOP

CONTROL = Path("/usr/share/postgresql/15/extension/hypopg.control")
PROGRAMS = Path("/usr/lib/postgresql/15/bin")

pytestmark = pytest.mark.skipif(
    not (CONTROL.exists() and PROGRAMS.is_dir()),
    reason="needs Debian's postgresql-15 and postgresql-15-hypopg",
)

STATEMENTS = (
    Statement("recent", "SELECT total FROM orders WHERE customer_id = $1 AND placed_at > $2"),
    Statement("by_mail", "SELECT id FROM customers WHERE lower(email) = $1"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERFLAB_POSTGRES_BIN", str(PROGRAMS))
        settings = PostgresSettings(shared_buffers_mb=32)
        with open_services("embedded", settings=settings, only=["postgres"]) as opened:
            with psycopg.connect(opened.postgres.conninfo(), autocommit=True) as conn:
                conn.execute(SHOP)
                conn.execute("CREATE EXTENSION hypopg; CREATE EXTENSION pg_stat_statements")
            yield opened.postgres


@pytest.fixture
def conn(server: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(server.conninfo(), autocommit=True) as opened:
        yield opened


@pytest.fixture
def catalog(conn: psycopg.Connection) -> Catalog:
    return read_catalog(conn)


def chosen(selection: Selection) -> dict[str, tuple[str, ...]]:
    return {c.candidate.on: c.serves for c in selection.chosen}


def test_imagined_and_built_indexes_lead_to_the_same_choice(
    server: Postgres, conn: psycopg.Connection, catalog: Catalog
) -> None:
    uses = {s.name: uses_of(parse_one(s.text), catalog) for s in STATEMENTS}
    candidates = find_candidates(uses, catalog, {})

    with hypothetical(conn) as what_if:
        imagined = select(STATEMENTS, candidates, what_if)
    with built_in_transaction(server.conninfo()) as what_if:
        built = select(STATEMENTS, candidates, what_if)

    assert chosen(imagined) == chosen(built)
    assert imagined.cost_after == pytest.approx(built.cost_after, rel=0.1)
    assert len(imagined.chosen) == 2


def test_imagining_works_where_nothing_can_be_written(
    conn: psycopg.Connection, catalog: Catalog
) -> None:
    statement = Statement("labelled", "SELECT id FROM orders WHERE labels @> ARRAY['l5']")
    uses = {"labelled": uses_of(parse_one(statement.text), catalog)}
    with hypothetical(conn) as what_if:
        read_only = conn.execute("SHOW transaction_read_only").fetchone()
        selection = select([statement], find_candidates(uses, catalog, {}), what_if)

    assert read_only == ("on",)
    assert selection.chosen == ()
    assert [r.reason for r in selection.rejected] == ["HypoPG knows no gin index"]
    assert read_catalog(conn).by_name["orders"].indexes == catalog.by_name["orders"].indexes


def test_a_statement_without_values_has_a_plan_before_generic_plan(
    conn: psycopg.Connection,
) -> None:
    assert conn.info.server_version < GENERIC_PLAN
    with looking(conn):
        found = [estimate(conn, "SELECT * FROM customers WHERE id = $1") for _ in range(2)]

    assert found[0].plan.index_names == ("customers_pkey",)
    assert found[0].cost == found[1].cost
    assert not conn.execute("SELECT 1 FROM pg_prepared_statements").fetchall()


def test_a_snapshot_has_plans_here_too(conn: psycopg.Connection) -> None:
    conn.execute("SELECT email FROM customers WHERE country = 'de'")

    (found,) = (s for s in take_snapshot(conn).statements.values() if "country" in s.text)

    assert found.plan_summary == "Seq Scan (customers)"
