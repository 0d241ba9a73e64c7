"""Views written out: the same rows come, whatever the statement does with the view."""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
import pytest

from perflab.advisor.catalog import Catalog
from perflab.advisor.places import places_of
from perflab.advisor.reading import uses_of
from perflab.advisor.sql import parse_one
from perflab.advisor.views import View, read_views, written_out
from perflab.advisor.workload import Statement

SCENE = """
    CREATE TABLE things (id int PRIMARY KEY, "Kind" text, size int);
    INSERT INTO things SELECT n, (ARRAY['a', 'b', 'ö'])[1 + n % 3], n % 10
        FROM generate_series(1, 200) n;
    CREATE SCHEMA "Other place";
    CREATE TABLE "Other place".things AS SELECT * FROM things WHERE id < 20;
    CREATE VIEW big AS SELECT * FROM things WHERE size > 5;
    CREATE VIEW "Other place"."Odd ""v"" x" AS
        SELECT id AS number, "Kind" FROM "Other place".things;
    CREATE VIEW renamed (a, b) AS SELECT id, size FROM big WHERE "Kind" <> 'b';
    CREATE VIEW counted AS WITH t AS (SELECT a % 5 AS rest FROM renamed)
        SELECT rest, count(*) AS n FROM t GROUP BY rest;
    CREATE VIEW either AS SELECT a FROM renamed UNION ALL SELECT n FROM counted;
    CREATE VIEW slow AS SELECT id FROM things, pg_sleep(0);
    CREATE SCHEMA hidden;
    CREATE VIEW hidden.big AS SELECT 1 AS id;
"""


@pytest.fixture
def conn(database: str) -> psycopg.Connection:
    opened = psycopg.connect(database, autocommit=True)
    opened.execute(SCENE.encode())
    return opened


def one_written_out(text: str, views: Sequence[View]) -> str:
    (found,) = written_out([Statement("s", text)], views)
    assert found.examples == ()
    return found.text


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM big ORDER BY id",
        "SELECT big.id FROM big WHERE big.size = 7 ORDER BY 1",
        "SELECT v.id FROM public.big AS v ORDER BY 1",
        'SELECT * FROM "Other place" . "Odd ""v"" x" /* here */ AS o ORDER BY o.number',
        """SELECT 'ö', number FROM "Other place"."Odd ""v"" x" ORDER BY 2""",
        "SELECT b, a FROM renamed r(b, a) ORDER BY 1, 2",
        "SELECT * FROM counted ORDER BY rest",
        "SELECT * FROM either ORDER BY 1",
        "SELECT r.a, c.n FROM renamed r LEFT JOIN counted c ON c.rest = r.a % 5 ORDER BY 1, 2",
        "SELECT id FROM things t WHERE EXISTS (SELECT FROM big b WHERE b.id = t.id) ORDER BY 1",
        "SELECT (SELECT max(a) FROM renamed), (SELECT count(*) FROM big)",
        "SELECT * FROM things t, LATERAL (SELECT * FROM big WHERE big.id = t.id) b ORDER BY 1",
        "WITH mine AS (SELECT * FROM big) SELECT count(*) FROM mine JOIN big USING (id)",
        "UPDATE things SET size = 0 FROM big WHERE big.id = things.id RETURNING things.id",
        "DELETE FROM things WHERE id IN (SELECT a FROM renamed) RETURNING id",
        "INSERT INTO things SELECT id + 1000, 'x', 1 FROM big RETURNING id",
    ],
)
def test_the_same_rows_come_and_no_view_is_named(conn: psycopg.Connection, text: str) -> None:
    with conn:
        written = one_written_out(text, read_views(conn))
        rows = []
        for one in (text, written):
            with conn.transaction(force_rollback=True):
                rows.append(sorted(conn.execute(one.encode()).fetchall()))
        assert rows[0] == rows[1]
        assert rows[0]
        conn.execute("DROP VIEW big, renamed, counted, either CASCADE")
        conn.execute('DROP VIEW "Other place"."Odd ""v"" x" CASCADE')
        with conn.transaction(force_rollback=True):
            assert sorted(conn.execute(written.encode()).fetchall()) == rows[0]


@pytest.mark.parametrize(
    "text",
    [
        "WITH big AS (SELECT 1 AS id) SELECT * FROM big",
        "UPDATE big SET size = 1",
        "DELETE FROM big",
        "INSERT INTO big VALUES (1)",
        "SELECT * FROM ONLY big",
        "SELECT * FROM slow",
        "SELECT * FROM things",
        "SELECT * FROM nowhere.big",
        "this does not parse",
    ],
)
def test_what_cannot_be_written_out_stays_as_it_is(conn: psycopg.Connection, text: str) -> None:
    with conn:
        assert one_written_out(text, read_views(conn)) == text


def test_a_name_alone_means_the_first_on_the_path(conn: psycopg.Connection) -> None:
    with conn:
        conn.execute('SET search_path = hidden, "Other place", public')
        views = read_views(conn)
        assert "SELECT 1 AS id" in one_written_out("SELECT * FROM big", views)
        assert '"Other place".things' in one_written_out('SELECT * FROM "Odd ""v"" x"', views)
        conn.execute("CREATE TABLE hidden.renamed (x int)")
        text = "SELECT * FROM renamed"
        assert one_written_out(text, read_views(conn)) == text, "the table comes first"


def test_examples_are_written_out_too(conn: psycopg.Connection) -> None:
    with conn:
        statement = Statement("s", "SELECT * FROM big WHERE id = $1",
                              examples=("SELECT * FROM big WHERE id = 1",))  # fmt: skip
        (found,) = written_out([statement], read_views(conn))
    assert all("things" in text for text in (found.text, *found.examples))


def test_views_of_views_end_somewhere() -> None:
    loop = (View("public", "a", "a", True, "SELECT * FROM b"),
            View("public", "b", "b", True, "SELECT * FROM a"))  # fmt: skip
    assert one_written_out("SELECT * FROM a", loop) == "SELECT * FROM a"
    bomb = tuple(
        View("public", f"v{n}", f"v{n}", True, f"SELECT * FROM v{n + 1} x, v{n + 1} y")
        for n in range(19)
    )
    assert one_written_out("SELECT * FROM v0", bomb) == "SELECT * FROM v0"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("SELECT * FROM (SELECT id, total AS much FROM orders) v WHERE much = 3", ("total",)),
        ("SELECT * FROM (SELECT id, total FROM orders o) v (a, b) WHERE v.b = 3", ("total",)),
        ("SELECT * FROM (SELECT DISTINCT total FROM orders) v WHERE total = 3", ("total",)),
        (
            "SELECT * FROM (SELECT customer_id AS who, sum(total) FROM orders GROUP BY 1) v"
            " WHERE who = 3",
            ("customer_id",),
        ),
        (
            "SELECT * FROM (SELECT w.much FROM (SELECT total AS much FROM orders) w) v"
            " WHERE v.much = 3",
            ("total",),
        ),
        ("SELECT * FROM (SELECT total FROM orders LIMIT 9) v WHERE total = 3", ()),
        ("SELECT * FROM (SELECT DISTINCT ON (id) total FROM orders) v WHERE total = 3", ()),
        ("SELECT * FROM (SELECT max(total) AS total FROM orders) v WHERE total = 3", ()),
        (
            "SELECT * FROM (SELECT total, row_number() OVER () FROM orders) v WHERE total = 3",
            (),
        ),
        (
            "SELECT * FROM (SELECT total FROM orders UNION SELECT 1) v WHERE total = 3",
            (),
        ),
    ],
)
def test_what_is_asked_of_a_views_column_is_asked_of_the_tables_where_postgres_takes_it_there(
    catalog: Catalog, text: str, asked: tuple[str, ...]
) -> None:
    (use,) = uses_of(parse_one(text), catalog)

    assert use.equal == asked


def test_a_parameter_beside_a_views_column_gets_values_of_the_tables(catalog: Catalog) -> None:
    text = (
        "SELECT * FROM (SELECT o.id, c.email AS mail FROM orders o JOIN customers c"
        " ON c.id = o.customer_id WHERE o.total > $1) v WHERE v.mail = $2"
    )

    places = places_of(parse_one(text), catalog)

    sources = {n: p.source and (p.source.table, p.source.sql) for n, p in places.items()}
    assert sources == {1: ("orders", "total"), 2: ("customers", "email")}
