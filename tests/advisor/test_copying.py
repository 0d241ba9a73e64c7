"""A copy of a database in use: what comes, what is refused, and that the target stays as it was."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from databases import own_database
from perflab.advisor.copying.catalogs import read_shape
from perflab.advisor.copying.making import make_tables
from perflab.advisor.copying.sampling import plan_parts
from perflab.advisor.copying.shape import Key, Table, with_parents
from perflab.advisor.copying.transfer import Extent, fill
from perflab.advisor.copying.witness import compared, observe
from perflab.advisor.errors import AdvisorError, StatementError
from perflab.advisor.selection import Limits
from perflab.advisor.workload import Statement, parse_workload
from perflab.profiles import AdvisorSizes
from perflab.services import Postgres
from perflab.studies.advisor.copied import Copied, CopyLimits, advise_on_copy

from .conftest import SHOP

SIZES = AdvisorSizes(users=1, examples=1, rounds=20, calls=1, write_rows=50, write_rounds=20)
ODD = (
    SHOP
    + """
    CREATE TYPE mood AS ENUM ('glad', 'it''s odd');
    CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100);
    CREATE TYPE desk AS (number int, mood mood, share percent);
    CREATE TYPE "A place" AS (floor int, desk desk);
    CREATE SCHEMA "Back office";
    CREATE SCHEMA "Ext";
    CREATE EXTENSION citext SCHEMA "Ext";
    CREATE EXTENSION pg_trgm SCHEMA "Ext";
    CREATE SEQUENCE "Back office".pay;
    CREATE TABLE "Back office".staff (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        boss bigint REFERENCES "Back office".staff,
        feels mood NOT NULL DEFAULT 'glad', part percent, "Full Name" text,
        nick "Ext".citext, paid numeric DEFAULT nextval('"Back office".pay'),
        loud text GENERATED ALWAYS AS (upper("Full Name")) STORED,
        born interval, joined timestamptz, sits "A place");
    INSERT INTO "Back office".staff (boss, feels, part, "Full Name", nick, born, joined, sits)
        SELECT nullif(n / 3, 0), (ARRAY['glad', 'it''s odd'])[1 + n % 2]::mood, n % 100,
            E'tab\\t, quote " and \\\\ of ' || n, 'N' || n, n * interval '1 day 3 hours',
            '2025-01-31 12:00+02', ROW(1, ROW(n, 'glad', 5)::desk)::"A place"
        FROM generate_series(1, 300) n;
    CREATE INDEX ON "Back office".staff (lower("Full Name")) WHERE feels = 'glad';
    CREATE INDEX ON "Back office".staff USING gin ("Full Name" "Ext".gin_trgm_ops);
    ANALYZE;
"""
)
SMALL = """
    CREATE TABLE customers (id int PRIMARY KEY, email text);
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total int);
    INSERT INTO customers SELECT n, 'user' || n FROM generate_series(1, 20) n;
    INSERT INTO orders SELECT n, 1 + n % 20, n FROM generate_series(1, 600) n;
    ANALYZE;
"""
FAMILIES = """
    CREATE TABLE regions (id int PRIMARY KEY);
    INSERT INTO regions SELECT generate_series(1, 8);
    CREATE TABLE owners (region int REFERENCES regions, id int, pad text, PRIMARY KEY (region, id));
    INSERT INTO owners SELECT 1 + n % 8, n, repeat('o', 200) FROM generate_series(1, 4000) n;
    CREATE TABLE pets (id int PRIMARY KEY, owner_region int, owner int, mother int REFERENCES pets,
                       vet int, pad text, FOREIGN KEY (owner_region, owner) REFERENCES owners);
    INSERT INTO pets SELECT n, 1 + (1 + n / 5) % 8, 1 + n / 5, nullif(n / 2, 0), 1 + n * 7 % 900,
        repeat('p', 200) FROM generate_series(1, 19000) n;
    CREATE TABLE vets (id int PRIMARY KEY, best_pet int REFERENCES pets, pad text);
    INSERT INTO vets SELECT n, n * 20, repeat('v', 1000) FROM generate_series(1, 900) n;
    ALTER TABLE pets ADD FOREIGN KEY (vet) REFERENCES vets;
    ANALYZE;
"""


@pytest.fixture
def reader(database: str) -> Iterator[Callable[..., str]]:
    """Makes the URL of a role that may read what it is granted."""
    role, parts = f"reader_{secrets.token_hex(4)}", conninfo_to_dict(database)

    def url(grants: str = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}") -> str:
        with psycopg.connect(database, autocommit=True) as conn:
            conn.execute(sql.SQL(grants).format(sql.Identifier(role)))
        return f"postgresql://{role}:pw@{parts['host']}:{parts['port']}/{parts['dbname']}"

    with psycopg.connect(database, autocommit=True) as conn:
        name = sql.Identifier(role)
        conn.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'pw'").format(name))
        yield url
        conn.execute(sql.SQL("DROP OWNED BY {}").format(name))
        conn.execute(sql.SQL("DROP ROLE {}").format(name))


def load(database: str, script: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(script.encode())


def advised(url: str, postgres: Postgres, text: str, copying: CopyLimits | None = None) -> Copied:
    statements = parse_workload(text).statements
    return advise_on_copy(
        url, statements, Limits(), copying or CopyLimits(), lambda: nullcontext(postgres), SIZES, 1,
        lambda _what, _done, _total: None,
    )  # fmt: skip


def copied(database: str, into: str, names: tuple[str, ...], limit_bytes: int) -> Extent:
    with (
        psycopg.connect(database, autocommit=True) as target,
        psycopg.connect(into, autocommit=True) as copy,
    ):
        shape = make_tables(copy, with_parents(read_shape(target), names))
        parts = plan_parts(shape.tables, limit_bytes)
        with target.transaction():
            return fill(target, copy, shape, parts, 1, limit_bytes, lambda *_: None)


def databases_of(postgres: Postgres) -> set[str]:
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        return {name for (name,) in conn.execute("SELECT datname FROM pg_database")}


@pytest.fixture
def into(postgres: Postgres) -> Iterator[str]:
    """An empty database for the copy."""
    with own_database(postgres, "into") as conninfo:
        yield conninfo


def test_advice_is_measured_on_a_copy_and_the_target_is_shown_to_be_as_it_was(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, SHOP)
    there = databases_of(postgres)
    text = (
        "-- name: recent\nSELECT total FROM orders WHERE customer_id = 77;\n"
        "-- name: spend\nUPDATE orders SET total = 0 WHERE customer_id = 9;\n"
        "-- name: gone\nSELECT * FROM nowhere"
    )

    found = advised(reader(), postgres, text)

    assert found.measured.proof is not None
    (kept,) = found.measured.proof.kept
    assert kept.choice.candidate.keys[0] == "customer_id"
    assert "recent" in kept.faster
    assert [u.name for u in found.measured.unplanned] == ["gone"]
    assert found.extent.words == "all 24,000 rows"  # of orders, and of the customers they name
    assert found.verdict is not None
    assert (found.verdict.changes, found.verdict.wrote) == ((), False)
    assert str(found.verdict).startswith("unchanged: schema ")
    assert databases_of(postgres) == there


def test_a_copy_has_the_same_rows_keys_and_indexes(database: str, into: str) -> None:
    load(database, ODD)

    found = copied(database, into, ('"Back office".staff', "public.orders"), 2**30)

    assert found.left_out == ()
    assert found.copied == {
        '"Back office".staff': 300, "public.customers": 4000, "public.orders": 20000
    }  # fmt: skip
    seen = []
    for conninfo in (database, into):
        with psycopg.connect(conninfo, autocommit=True) as conn:
            tables = [t for t in read_shape(conn).tables if t.name in found.copied]
            rows = [
                conn.execute(
                    sql.SQL("SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM {} t").format(
                        sql.SQL(table.name)
                    )
                ).fetchone()
                for table in tables
            ]
            keys = {(k.kind, k.definition) for table in tables for k in table.keys}
            seen.append((rows, keys, [table.indexes for table in tables]))
    assert seen[0] == seen[1]
    with psycopg.connect(into, autocommit=True) as conn:
        next_one = conn.execute(
            'INSERT INTO "Back office".staff ("Full Name") VALUES (\'new\') RETURNING id, feels'
        ).fetchone()
    assert next_one == (302, "glad")


def test_a_statement_that_reads_a_view_is_measured_on_the_tables_behind_it(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, SHOP)
    load(
        database,
        "CREATE VIEW dear AS SELECT o.id, o.customer_id AS who, c.email FROM orders o"
        " JOIN customers c ON c.id = o.customer_id WHERE o.total > 10",
    )

    found = advised(reader(), postgres, "-- name: mine\nSELECT * FROM dear WHERE who = 77")

    assert found.measured.unplanned == ()
    assert found.measured.proof is not None
    (kept,) = found.measured.proof.kept
    assert kept.choice.candidate.table == "orders"
    assert kept.choice.candidate.keys[0] == "customer_id"
    assert set(found.extent.copied) == {"public.orders", "public.customers"}


def test_a_sample_keeps_foreign_keys(database: str, into: str) -> None:
    """Composite, circular and self-referring keys; the server itself checks each one anew."""
    load(database, FAMILIES)

    found = copied(database, into, ("public.pets",), 900_000)

    assert found.left_out == ()
    assert found.whole == {"public.regions"}
    assert set(found.copied) == {f"public.{n}" for n in ("regions", "owners", "pets", "vets")}
    assert 0 < found.copied["public.pets"] < 10_000
    assert found.there["public.pets"] == 19_000
    assert found.words == f"{sum(found.copied.values()):,} of about 23,908 rows"
    with psycopg.connect(into, autocommit=True) as conn:
        checked = conn.execute(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND convalidated"
        ).fetchone()
    assert checked == (5,)


def test_a_parent_in_a_sample_has_all_of_its_children_or_none(database: str, into: str) -> None:
    load(
        database,
        "CREATE TABLE owners (id int PRIMARY KEY, pad text);"
        "INSERT INTO owners SELECT n, repeat('o', 200) FROM generate_series(1, 2000) n;"
        "CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES owners, pad text);"
        "INSERT INTO pets SELECT n, 1 + n % 2000, repeat('p', 90) FROM generate_series(1, 10000) n;"
        "CREATE TABLE visits (pet int REFERENCES pets, pad text);"
        "INSERT INTO visits SELECT 1 + n % 10000, repeat('p', 99) FROM generate_series(1, 20000) n;"
        "ANALYZE",
    )

    found = copied(database, into, ("public.visits",), 1_000_000)

    assert not found.whole
    with psycopg.connect(into, autocommit=True) as conn:
        numbers = conn.execute(
            "SELECT (SELECT array_agg(DISTINCT n) FROM"
            " (SELECT count(*) AS n FROM pets GROUP BY owner)),"
            " (SELECT array_agg(DISTINCT n) FROM (SELECT count(*) AS n FROM visits GROUP BY pet))"
        ).fetchone()
    assert numbers == ([5], [2])
    assert found.copied["public.pets"] == 5 * found.copied["public.owners"]
    assert found.copied["public.visits"] == 2 * found.copied["public.pets"]


def a_table(name: str, mib: float, rows: float, *parents: str) -> Table:
    keys = tuple(Key(p, "f", (p,), p, ("id",), ("int",), "") for p in parents)
    size = round(mib * 2**20)
    return Table(name, 1, rows, size // 8192, size, True, (), keys, ())


def test_small_tables_come_whole_and_large_ones_share_what_is_left() -> None:
    tables = [a_table("small", 1, 10), a_table("a", 100, 1e5), a_table("b", 300, 1e5)]

    parts = {part.table.name: part for part in plan_parts(tables, 41 * 2**20)}

    assert parts["small"].is_whole
    assert parts["a"].share == parts["b"].share == pytest.approx(0.1)


def test_a_table_is_sampled_by_the_parent_with_most_rows_and_never_in_a_circle() -> None:
    tables = [
        a_table("kinds", 1, 5),
        a_table("people", 100, 1e5, "orders"),
        a_table("orders", 100, 1e6, "people", "kinds"),
        a_table("logs", 100, 1e6, "kinds"),
    ]

    parts = {part.table.name: part for part in plan_parts(tables, 31 * 2**20)}

    followed = {name: part.follows.parent for name, part in parts.items() if part.follows}
    assert followed in ({"people": "orders"}, {"orders": "people"})


def test_what_fits_is_copied_whole() -> None:
    tables = [a_table("a", 10, 10), a_table("b", 20, 10)]

    assert all(part.is_whole for part in plan_parts(tables, 30 * 2**20))
    assert not all(part.is_whole for part in plan_parts(tables, 29 * 2**20))


@pytest.mark.parametrize(
    ("grants", "copying", "message"),
    [
        ("GRANT SELECT ON customers TO {}", CopyLimits(), "may not read public.orders; grant it"),
        ("GRANT SELECT (id, total) ON orders TO {}", CopyLimits(), "may not read public.orders"),
        (
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {};"
            "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
            CopyLimits(),
            "row-level security",
        ),
        (
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}",
            CopyLimits(seconds=0.001),
            "took longer than 0.001 s; raise --copy-seconds",
        ),
    ],
    ids=["no right", "some columns", "some rows", "too slow"],
)
def test_what_cannot_be_copied_is_refused_in_one_line_and_nothing_is_left(
    database: str,
    postgres: Postgres,
    reader: Callable[..., str],
    grants: str,
    copying: CopyLimits,
    message: str,
) -> None:
    load(database, SMALL)
    there = databases_of(postgres)

    with pytest.raises(AdvisorError) as caught:
        advised(reader(grants), postgres, "SELECT id FROM orders WHERE total = 4711", copying)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pw@" not in str(caught.value)
    assert "4711" not in str(caught.value)
    assert databases_of(postgres) == there


def test_a_workload_that_names_no_table_is_refused(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, SMALL)

    with pytest.raises(StatementError, match="names a table of the target"):
        advised(reader(), postgres, "SELECT * FROM nowhere")


def test_a_parent_that_may_not_be_read_is_left_out(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, SMALL)

    found = advised(
        reader("GRANT SELECT ON orders TO {}"), postgres, "SELECT total FROM orders WHERE id = 3"
    )

    assert found.extent.copied == {"public.orders": 600}
    assert found.measured.advice.selection.chosen == ()


def test_far_more_than_the_limit_is_given_up(database: str, into: str) -> None:
    load(
        database,
        "CREATE TABLE wide AS SELECT n, repeat('x', 2000) AS pad FROM generate_series(1, 3000) n;"
        "ANALYZE wide; UPDATE pg_class SET relpages = 1 WHERE relname = 'wide';",
    )
    with psycopg.connect(database, autocommit=True) as target:
        shape = with_parents(read_shape(target), ["public.wide"])
        whole = plan_parts(shape.tables, 2**30)
        with psycopg.connect(into, autocommit=True) as copy, target.transaction():
            make_tables(copy, shape)
            with pytest.raises(AdvisorError, match="raise --copy-mib"):
                fill(target, copy, shape, whole, 1, 100_000, lambda *_: None)


def test_no_copy_and_no_guest_is_left_by_who_is_killed(
    database: str, postgres: Postgres, reader: Callable[..., str], tmp_path: Path
) -> None:
    """On a server of the user's own, where nothing else would take them away."""
    load(database, SMALL)
    workload, address = tmp_path / "w.sql", conninfo_to_dict(postgres.conninfo())
    workload.write_text(
        "SELECT count(*) FROM orders a CROSS JOIN orders b WHERE a.total = 5 AND b.total % 3 = 1;"
        "SELECT count(*) FROM orders a CROSS JOIN orders b WHERE a.total < b.id * 3"
    )
    environment = os.environ | {
        "PERFLAB_TARGET_URL": reader(),
        "PERFLAB_POSTGRES_URL": "postgresql://{user}:{password}@{host}:{port}/postgres".format(
            **address
        ),
    }
    program = str(Path(sys.executable).with_name("perflab"))
    command = [program, "advise", "--workload", str(workload), "--copy-data", "--services", "url"]

    def left(conn: psycopg.Connection) -> list[str]:
        return [
            name
            for (name,) in conn.execute(
                "SELECT datname::text FROM pg_database UNION ALL SELECT rolname FROM pg_roles"
            )
            if re.match(r"perflab_\w{8}_", name)
        ]

    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            wait(lambda: any("guest" in name for name in left(conn)) or process.poll() is not None)
            assert process.poll() is None
            process.kill()
            process.wait(30)
        wait(lambda: not left(conn))


def wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE orders SET total = total + 1 WHERE id < 4", "public.orders +3 updated"),
        ("INSERT INTO customers VALUES (9999, 'x')", "public.customers +1 inserted"),
        ("ALTER TABLE customers ADD note text", "the schema"),
        ("CREATE INDEX ON orders (total)", "the schema"),
    ],
)
def test_what_others_change_meanwhile_is_told(database: str, change: str, told: str) -> None:
    load(database, SMALL)
    with psycopg.connect(database, autocommit=True) as conn:
        parts = plan_parts(with_parents(read_shape(conn), ["public.orders"]).tables, 2**30)
        before = observe(conn, parts, 1)
        with psycopg.connect(database, autocommit=True) as other:
            other.execute(change.encode())
            other.execute("SELECT pg_stat_force_next_flush()")
            other.execute("SELECT 1")
        after = observe(conn, parts, 1)

    verdict = compared(before, after)

    assert told in verdict.changes
    assert "changed meanwhile, by others" in str(verdict)
    assert "wrote nothing" in str(verdict)


def test_rows_that_change_unseen_by_the_counters_are_told(database: str) -> None:
    load(database, SMALL)
    with psycopg.connect(database, autocommit=True) as conn:
        parts = plan_parts(with_parents(read_shape(conn), ["public.orders"]).tables, 2**30)
        before = observe(conn, parts, 1)
        conn.execute("UPDATE orders SET total = -1 WHERE id = 77")
        after = msgspec.structs.replace(observe(conn, parts, 1), written=before.written)

    assert compared(before, after).changes == ("rows of public.orders",)


def test_a_transaction_of_the_advisors_that_wrote_is_told(database: str) -> None:
    load(database, SMALL)
    with psycopg.connect(database, autocommit=True) as conn:
        parts = plan_parts(with_parents(read_shape(conn), ["public.orders"]).tables, 2**30)
        with conn.transaction():
            conn.execute("UPDATE orders SET total = 1 WHERE id = 1")
            wrote = observe(conn, parts, 1)

    assert "WROTE" in str(compared(wrote, wrote))


def test_the_search_path_of_the_target_holds_on_the_copy_and_its_date_style_does_not(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, ODD.replace(SHOP, ""))
    name = conninfo_to_dict(database)["dbname"]
    load(database, f"""ALTER DATABASE {name} SET search_path = "Back office", public""")
    load(database, f"ALTER DATABASE {name} SET datestyle = 'SQL, DMY'")
    url = reader(
        'GRANT USAGE ON SCHEMA "Back office" TO {0};'
        'GRANT SELECT ON ALL TABLES IN SCHEMA "Back office" TO {0}'
    )

    found = advised(url, postgres, "SELECT boss FROM staff WHERE nick = 'n77'::\"Ext\".citext")

    assert (found.measured.unplanned, found.measured.untimed) == ((), ())
    assert [s.name for s in found.measured.advice.statements] == ["statement_1"]


def test_statements_without_values_get_some_of_the_copied_rows(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, SMALL)
    statements = [
        Statement("by_key", "SELECT total FROM orders WHERE id = $1"),
        Statement("long_ago", "SELECT id FROM orders WHERE now() > $1::date"),
    ]

    found = advise_on_copy(
        reader(), statements, Limits(), CopyLimits(), lambda: nullcontext(postgres), SIZES, 1,
        lambda *_: None,
    )  # fmt: skip

    assert found.drawn == ("by_key",)
    (untimed,) = found.measured.untimed
    assert str(untimed).startswith("long_ago: $1 (date) stands beside no column")


ODD_TYPE = """
    CREATE TYPE odd;
    CREATE FUNCTION odd_in(cstring) RETURNS odd LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
    CREATE FUNCTION odd_out(odd) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
    CREATE TYPE odd (INPUT = odd_in, OUTPUT = odd_out, LIKE = int4);
    CREATE TABLE strange (id int, s odd);
"""
"""A base type of the target's own, which no copy has."""


def test_a_table_of_a_type_that_the_copy_cannot_have_is_refused(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, ODD_TYPE)

    with pytest.raises(AdvisorError, match=r'public\.strange cannot be made in the copy: type "p'):
        advised(reader(), postgres, "SELECT id FROM strange WHERE id = 1")


def test_a_table_that_cannot_be_made_is_left_out_and_the_others_are_measured(
    database: str, postgres: Postgres, reader: Callable[..., str]
) -> None:
    load(database, SMALL + ODD_TYPE)

    found = advised(
        reader(), postgres,
        "-- name: odd\nSELECT id FROM strange WHERE id = 1;"
        "-- name: plain\nSELECT total FROM orders WHERE id = 1",
    )  # fmt: skip

    (line,) = found.extent.left_out
    assert line.startswith('table public.strange: type "public.odd" does not exist')
    (unplanned,) = found.measured.unplanned
    assert str(unplanned).startswith("odd: strange is not in the copy: type ")
    assert [s.name for s in found.measured.advice.statements] == ["plain"]
