"""On Debian's PostgreSQL with HypoPG, as a user's server may be: no index is made there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from perflab.advisor.candidates import Candidate, find_candidates
from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.errors import AdvisorError
from perflab.advisor.explain import GENERIC_PLAN, estimate, looking
from perflab.advisor.partitions import statements_for
from perflab.advisor.reading import uses_of
from perflab.advisor.selection import Limits, Selection, select
from perflab.advisor.slow_queries import Thresholds
from perflab.advisor.sql import parse_one
from perflab.advisor.statement_stats import take_snapshot
from perflab.advisor.target import advise_target
from perflab.advisor.whatif import built_in_transaction, hypothetical
from perflab.advisor.workload import Statement, parse_workload
from perflab.cli import app
from perflab.services import Postgres, PostgresSettings, open_services

from .conftest import SHOP

PROFILES = Path(__file__).parents[1] / "fixtures" / "profiles.toml"
CONTROL = Path("/usr/share/postgresql/15/extension/hypopg.control")
PROGRAMS = Path("/usr/lib/postgresql/15/bin")

pytestmark = pytest.mark.skipif(
    not (CONTROL.exists() and PROGRAMS.is_dir()),
    reason="needs Debian's postgresql-15 and postgresql-15-hypopg",
)

STATEMENTS = (
    Statement("recent", "SELECT total FROM orders WHERE customer_id = $1 AND placed_at > $2"),
    Statement("by_mail", "SELECT id FROM customers WHERE email = $1"),
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


@pytest.mark.parametrize(
    ("text", "candidate"),
    [
        (
            "SELECT total FROM orders WHERE customer_id = 7",
            Candidate("orders", ("customer_id",), include=("total",)),
        ),
        (
            "SELECT id FROM orders WHERE state = 'open' AND placed_at < '2025-01-02'",
            Candidate("orders", ("placed_at",), where="state = 'open'"),
        ),
        (
            "SELECT id FROM customers WHERE lower(email) = 'x'",
            Candidate("customers", ("lower(email)",)),
        ),
        (
            "SELECT count(*) FROM orders WHERE placed_at > '2025-01-14'",
            Candidate("orders", ("placed_at",), "brin", options="pages_per_range = 3"),
        ),
        (
            "SELECT id FROM orders WHERE filler = 'y'",
            Candidate("orders", ("filler",), "hash"),
        ),
        (
            "SELECT c.email FROM customers c JOIN orders o ON o.customer_id = c.id"
            " WHERE c.email = 'user7@example.org'",
            Candidate("orders", ("customer_id",)),
        ),
    ],
    ids=["covering", "partial", "expression", "brin", "hash", "join"],
)
def test_each_kind_can_be_imagined_and_is_used_as_if_it_were_there(
    server: Postgres, conn: psycopg.Connection, text: str, candidate: Candidate
) -> None:
    tables = ["orders", "customers"]
    with hypothetical(conn) as what_if:
        imagined, without = (what_if.ask([text], active, tables) for active in ([candidate], []))
        assert what_if.size_bytes[candidate] > 0
    with built_in_transaction(server.conninfo()) as what_if:
        built = what_if.ask([text], [candidate], tables)

    assert imagined.used == built.used == {candidate}
    assert max(imagined.cost, built.cost) < without.cost


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


# --- a server of the user's ------------------------------------------------------------

READER = "reader"
PASSWORD = "s3cret-of-reader"


@pytest.fixture(scope="module")
def url(server: Postgres) -> str:
    """A URL of somebody who may read everything and could write orders."""
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {READER} LOGIN PASSWORD '{PASSWORD}'")
        conn.execute(f"GRANT pg_read_all_data, pg_read_all_stats TO {READER}")
        conn.execute(f"GRANT UPDATE, DELETE ON orders TO {READER}")
        conn.execute("CREATE INDEX orders_twin ON orders (id)")
    return f"postgresql://{READER}:{PASSWORD}@127.0.0.1:{server.address.port}/postgres"


def state(conn: psycopg.Connection) -> list[tuple[object, ...]]:
    """What a change of the database would change: definitions, rows, counters of writes."""
    statements = (
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index ORDER BY 1",
        "SELECT relname, n_tup_ins, n_tup_upd, n_tup_del, n_live_tup FROM pg_stat_user_tables"
        " ORDER BY 1",
        "SELECT md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o",
        "SELECT rolname FROM pg_roles ORDER BY 1",
        "SELECT attname, atttypid FROM pg_attribute WHERE attrelid = 'orders'::regclass ORDER BY 1",
    )
    return [row for text in statements for row in conn.execute(text).fetchall()]


def test_a_target_is_advised_on_and_left_as_it_was(url: str, conn: psycopg.Connection) -> None:
    statements = parse_workload(
        "SELECT total FROM orders WHERE customer_id = 5 AND placed_at > '2025-01-05';"
        "DELETE FROM orders WHERE total = 77;"
        "SELECT * FROM nowhere"
    ).statements
    before = state(conn)

    found = advise_target(url, statements, Limits())

    assert state(conn) == before
    assert {c.candidate.keys[0] for c in found.advice.selection.chosen} == {"customer_id", "total"}
    assert [one.reason for one in found.unplanned] == ['relation "nowhere" does not exist']
    assert [(i.name, i.fault) for i in found.advice.idle] == [("orders_twin", "duplicate")]


def test_without_a_file_the_servers_own_statistics_are_the_workload(
    url: str, conn: psycopg.Connection
) -> None:
    conn.execute("SELECT pg_stat_statements_reset()")
    for number in range(5):
        conn.execute(f"SELECT id FROM orders WHERE total = {number}")

    found = advise_target(url, None, Limits())

    by_text = {s.text: s.calls for s in found.advice.statements}
    assert [one.text for one in found.slow] == ["SELECT id FROM orders WHERE total = $1"]
    patient = Thresholds(mean_ms=1e9, share_percent=101, buffers_per_call=1e9)
    assert advise_target(url, None, Limits(), patient).slow == ()
    assert by_text["SELECT id FROM orders WHERE total = $1"] == 5
    assert "total" in {c.candidate.keys[0] for c in found.advice.selection.chosen}


def test_the_command_prints_estimates_and_writes_the_ddl(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload, out = tmp_path / "workload.sql", tmp_path / "indexes.sql"
    workload.write_text("SELECT id FROM orders WHERE customer_id = 4711;\nVACUUM;\n")
    monkeypatch.setenv("PERFLAB_TARGET_URL", url)

    said = CliRunner().invoke(app, ["advise", "--workload", str(workload), "--out", str(out)])

    assert said.exit_code == 0, said.output
    assert "left out: line 2: the statement is no SELECT" in said.output
    assert "estimated, not measured" in said.output
    assert "(1 calls): SELECT id FROM orders WHERE customer_id = ?" in said.output
    assert "duplicate: orders_twin on orders" in said.output
    assert "statistics and maintenance: nothing needs to be done on the server" in said.output
    assert out.read_text().startswith("CREATE INDEX CONCURRENTLY idx_orders_customer_id")
    assert PASSWORD not in said.output
    assert "4711" not in said.output


def test_a_copy_is_measured_and_the_target_sees_no_statement_of_the_workload(
    url: str, conn: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From this server to a newer one, as many may have it."""
    workload, out = tmp_path / "workload.sql", tmp_path / "indexes.sql"
    workload.write_text(
        "-- name: theirs\nSELECT id FROM orders WHERE customer_id = 4711;\n"
        "-- name: spend\nUPDATE orders SET total = 0 WHERE customer_id = 4712;\n"
    )
    monkeypatch.setenv("PERFLAB_TARGET_URL", url)
    monkeypatch.setenv("PERFLAB_PROFILES", str(PROFILES))
    monkeypatch.delenv("PERFLAB_POSTGRES_BIN")
    before = state(conn)
    conn.execute("SELECT pg_stat_statements_reset()")

    said = CliRunner().invoke(
        app,
        ["advise", "--workload", str(workload), "--copy-data", "--copy-mib", "1",
         "--services", "embedded", "--profile", "smoke", "--out", str(out)],
    )  # fmt: skip

    assert said.exit_code == 0, said.output
    assert re.search(r"a sample: public\.orders, [\d,]+ of about 20,000 rows", said.output)
    proved = re.findall(
        r"^proved \(measured at [\d,]+ of about 24,000 rows\): (CREATE .*);$", said.output, re.M
    )
    assert proved
    assert re.fullmatch(
        r"(-- measured at [\d,]+ of about 24,000 rows\nCREATE INDEX .*;\n)+", out.read_text()
    )
    assert "the target is unchanged: schema" in said.output
    assert "4711" not in said.output
    assert PASSWORD not in said.output
    assert state(conn) == before
    ran = conn.execute(
        "SELECT query FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid"
        " WHERE rolname = %s",
        [READER],
    ).fetchall()
    texts = [" ".join(text.split()) for (text,) in ran]
    assert any(text.startswith("COPY (SELECT") for text in texts)
    assert not [t for t in texts if re.search(r"UPDATE|DELETE|INSERT|CREATE|EXPLAIN", t)]
    assert not [t for t in texts if "customer_id =" in t]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("postgresql://", "postgress//"), "is no PostgreSQL URL"),
        ((PASSWORD, "wrong-one"), "password authentication failed"),
        (("/postgres", "/absent"), 'database "absent" does not exist'),
        (("/postgres", "/postgres?options=-c%20a.b%3D1"), "sets options"),
    ],
)
def test_a_url_that_does_not_work_is_refused_without_being_shown(
    url: str, change: tuple[str, str], message: str
) -> None:
    scheme, rest = url.split("//")
    bad = url.replace(*change) if change[0] != "/postgres" else f"{scheme}//{rest.replace(*change)}"

    with pytest.raises(AdvisorError, match=message) as caught:
        advise_target(bad, None, Limits())

    for secret in (PASSWORD, "wrong-one"):
        assert secret not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_server_that_goes_away_is_one_line(
    url: str, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_conn: psycopg.Connection) -> Catalog:
        with psycopg.connect(server.conninfo(), autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s",
                [READER],
            )
        return read_catalog(_conn)

    monkeypatch.setattr("perflab.advisor.target.read_catalog", cut)
    statements = parse_workload("SELECT id FROM orders WHERE total = 3").statements

    with pytest.raises(AdvisorError, match="PERFLAB_TARGET_URL: the server gave up") as caught:
        advise_target(url, statements, Limits())
    assert caught.value.__context__ is None


def test_a_database_without_hypopg_is_refused_in_one_line(url: str, server: Postgres) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute("CREATE DATABASE plain")
    statements = parse_workload("SELECT 1").statements

    with pytest.raises(AdvisorError, match="CREATE EXTENSION hypopg"):
        advise_target(url.replace("/postgres", "/plain"), statements, Limits())


def test_an_index_of_a_partitioned_table_is_imagined_on_each_partition(
    url: str, server: Postgres
) -> None:
    with psycopg.connect(server.conninfo(), autocommit=True) as conn:
        conn.execute(
            "CREATE TABLE visits (id int, day date, page int) PARTITION BY RANGE (day);"
            "CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM ('2025-01-01')"
            " TO ('2025-02-01'); CREATE TABLE visits_2 PARTITION OF visits DEFAULT;"
            "INSERT INTO visits SELECT n, date '2025-01-01' + n % 60, n % 9000"
            " FROM generate_series(1, 20000) n; ANALYZE visits"
        )
        statements = (Statement("pages", "SELECT id FROM visits WHERE page = 77"),)

        found = advise_target(url, statements, Limits())

        (choice,) = found.advice.selection.chosen
        assert (choice.candidate.table, choice.candidate.keys) == ("visits", ("page",))
        for text in statements_for(choice.candidate, found.advice.catalog):
            conn.execute(text.encode())
        row = conn.execute(
            "SELECT indisvalid FROM pg_index WHERE indrelid = 'visits'::regclass"
        ).fetchone()
        conn.execute("DROP TABLE visits")
    assert row == (True,)
