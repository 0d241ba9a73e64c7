"""A server's own statistics as a workload, through ``perflab advise`` to measured advice."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from typer.testing import CliRunner

from perflab.advisor.catalog import read_catalog
from perflab.advisor.errors import StatementError
from perflab.advisor.own_workload import own_workload, typed
from perflab.advisor.statement_stats import take_snapshot
from perflab.cli import app
from perflab.services import Postgres

from .conftest import SHOP

PROFILES = Path(__file__).parents[1] / "fixtures" / "profiles.toml"
SECRET = "user1234@example.org"
CALLS = (
    "SELECT count(*) FROM orders WHERE state = 'open' AND placed_at > now() - interval '300 days'",
    "SELECT id, total FROM orders WHERE customer_id = 17 * 3 ORDER BY placed_at DESC LIMIT 5",
    f"SELECT * FROM customers WHERE email = '{SECRET}'",
    "SELECT id FROM orders WHERE notes ->> 'channel' = '7' AND id < 9",
)
OTHERS = (
    "CREATE TABLE other (id int)",
    "INSERT INTO other SELECT n FROM generate_series(1, 9) n",
    "INSERT INTO other VALUES (3)",
    "SELECT relname FROM pg_class WHERE oid = 7",
    "SET work_mem = '9MB'",
    "BEGIN",
    "COMMIT",
    "VACUUM other",
)


@pytest.fixture(scope="module")
def target(postgres: Postgres) -> Iterator[str]:
    """The URL of a reader of a shop whose server has counted statements."""
    name = f"shop_{secrets.token_hex(4)}"
    role, parts = sql.Identifier(f"reader_{name}"), conninfo_to_dict(postgres.conninfo())
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        admin.execute(
            sql.SQL("CREATE ROLE {0} LOGIN PASSWORD 'pw'; GRANT pg_read_all_stats TO {0}").format(
                role
            )
        )
        try:
            with psycopg.connect(postgres.conninfo(name), autocommit=True) as conn:
                conn.execute("CREATE EXTENSION pg_stat_statements")
                conn.execute(SHOP)
                conn.execute("SELECT pg_stat_statements_reset()")
                for text in (*CALLS * 3, *OTHERS):
                    conn.execute(text.encode())
                grant = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}"
                conn.execute(sql.SQL(grant).format(role))
            where = f"{parts['host']}:{parts['port']}/{name}"
            yield f"postgresql://reader_{name}:pw@{where}"
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE {}").format(role))


def test_only_what_looks_up_rows_of_its_tables_is_taken(target: str) -> None:
    with psycopg.connect(target, autocommit=True) as conn:
        snapshot, catalog = take_snapshot(conn), read_catalog(conn)
        found = own_workload(snapshot, catalog)

        # the GRANT and the reset as well, and what psycopg and this test asked
        assert found.passed_over >= len(OTHERS)
        assert {one.text: one.calls for one in found.statements} == {
            "SELECT count(*) FROM orders WHERE state = $1"
            " AND placed_at > now() - CAST($2 AS interval)": 3,
            "SELECT id, total FROM orders WHERE customer_id = $1::bigint * $2::bigint"
            " ORDER BY placed_at DESC LIMIT $3": 3,
            "SELECT * FROM customers WHERE email = $1": 3,
            "SELECT id FROM orders WHERE notes ->> $1 = $2 AND id < $3": 3,
        }
        for one in found.statements:
            conn.execute(f"PREPARE s AS {one.text}; DEALLOCATE s".encode())


def test_a_role_that_may_see_nothing_is_told_what_it_lacks(target: str) -> None:
    with psycopg.connect(target, autocommit=True) as conn:
        hidden = msgspec.structs.replace(take_snapshot(conn), statements={})

        with pytest.raises(StatementError, match="grant the role pg_read_all_stats"):
            own_workload(hidden, read_catalog(conn))


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("id = $1 * $2", "id = $1::bigint * $2::bigint"),
        ("$1 - $2 > total", "$1::integer - $2::integer > total"),
        ("id = $1::int * $2", "id = $1::int * $2"),
        ("state = $1 || $2", "state = $1 || $2"),
        ("id = $1", "id = $1"),
    ],
)
def test_types_are_told_where_a_server_cannot_know_them(
    target: str, condition: str, wanted: str
) -> None:
    with psycopg.connect(target, autocommit=True) as conn:
        text = f"SELECT 1 FROM orders WHERE {wanted}"

        assert typed(f"SELECT 1 FROM orders WHERE {condition}", read_catalog(conn)) == text
        conn.execute(f"PREPARE s AS {text}; DEALLOCATE s".encode())


def test_statements_without_values_are_measured_with_values_of_the_copied_rows(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_PROFILES", str(PROFILES))
    monkeypatch.setenv("PERFLAB_TARGET_URL", target)
    out = tmp_path / "indexes.sql"

    said = CliRunner().invoke(
        app,
        ["advise", "--copy-data", "--services", "embedded", "--profile", "smoke",
         "--copy-mib", "2", "--out", str(out)],
    )  # fmt: skip

    assert said.exit_code == 0, said.output
    assert re.search(r"^passed over: \d+ entries of the server's statistics", said.output, re.M)
    assert "values were drawn from the copied rows for 3 statements" in said.output
    assert "left out" not in said.output
    (untimed,) = re.findall(r"^not measured, estimated only: (.*)$", said.output, re.M)
    assert "$1 stands beside no column that values could be drawn from" in untimed
    ddl = out.read_text()
    for index, text in (
        ("orders (state, placed_at)", "SELECT count(*) FROM orders WHERE state = $1"),
        ("orders (customer_id", "SELECT id, total FROM orders WHERE customer_id = $1"),
        ("customers (email)", "SELECT * FROM customers WHERE email = $1"),
    ):
        assert index in ddl
        block = re.search(
            rf"^proved \(measured at [\d,]+ of about [\d,]+ rows\): .*{re.escape(index)}.*;\n"
            rf"  speeds up query -?\d+ \([\d.,]+ -> [\d.,]+ ms, [\d.]+ \[[\d.]+, [\d.]+\] of the"
            rf" time\): {re.escape(text)}.*\n"
            r"  costs [\d,]+ KiB\n",
            said.output, re.M,
        )  # fmt: skip
        assert block, said.output
    for table, new in (("orders", 2), ("customers", 1)):
        paid = rf"^writers of {table}, with {new} new: [\d.]+ \[.*\] of the time, [\d,]+ B of WAL"
        assert re.search(paid, said.output, re.M)
    assert not re.search(r"example\.org|user\d|'open'|'done'", said.output + ddl)
    with psycopg.connect(target, autocommit=True) as conn:  # its own checksums are no workload
        seen = own_workload(take_snapshot(conn), read_catalog(conn)).statements
        assert not [one for one in seen if "hashtext" in one.text]
        counted = "SELECT count(*) FROM pg_stat_statements WHERE query LIKE '%hashtextext%r::text%'"
        assert conn.execute(counted).fetchone() != (0,)
