"""Functions of a target: those that only compute come to the copy, and no others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import psycopg
import pytest

from databases import own_database
from perflab.advisor.copying.catalogs import read_shape
from perflab.advisor.copying.functions import needed_functions, read_functions
from perflab.advisor.copying.making import make_tables
from perflab.advisor.copying.needed import without_acting
from perflab.advisor.copying.sampling import plan_parts
from perflab.advisor.copying.shape import with_parents
from perflab.advisor.copying.transfer import Extent, fill
from perflab.advisor.selection import Limits
from perflab.advisor.workload import parse_workload
from perflab.profiles import AdvisorSizes
from perflab.services import Postgres
from perflab.studies.advisor.copied import CopyLimits, advise_on_copy

SIZES = AdvisorSizes(users=1, examples=1, rounds=20, calls=1, write_rows=50, write_rounds=20)
COMPUTED = """
    SET check_function_bodies = off;
    CREATE SCHEMA sales; CREATE SCHEMA "My tools";
    CREATE FUNCTION "My tools".norm(t text) RETURNS text LANGUAGE sql IMMUTABLE
        AS $$ SELECT lower(btrim(t)) $$;
    CREATE FUNCTION "My tools".score(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
        DECLARE r int := 0;
        BEGIN FOR i IN 1..2 LOOP r := r + n % 97; END LOOP; RETURN r; END $$;
    CREATE FUNCTION "My tools".outer_score(n int) RETURNS int LANGUAGE sql IMMUTABLE
        RETURN "My tools".score(n) + 1;
    CREATE FUNCTION "My tools".good(t text) RETURNS boolean LANGUAGE sql IMMUTABLE
        AS 'SELECT length(t) < 100';
    CREATE FUNCTION "My tools".code() RETURNS text LANGUAGE sql AS $$ SELECT 'c' || random() $$;
    CREATE DOMAIN sales.mail AS text CHECK ("My tools".good(VALUE));
    CREATE TYPE sales.span AS RANGE (SUBTYPE = int);
    CREATE TABLE sales.clients (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail sales.mail NOT NULL,
        name text CHECK ("My tools".good(name)), code text DEFAULT "My tools".code(),
        scored int GENERATED ALWAYS AS ("My tools".outer_score(length(name))) STORED,
        years sales.span, EXCLUDE USING gist (years WITH &&));
    INSERT INTO sales.clients (mail, name, years)
        SELECT 'm' || n, ' Name ' || n, sales.span(n, n + 1) FROM generate_series(1, 4000) n;
    CREATE INDEX ON sales.clients ("My tools".norm(name));
    CREATE FUNCTION sales.known(m text) RETURNS bigint LANGUAGE sql STABLE
        AS 'SELECT count(*) FROM sales.blocked WHERE mail = m';
    CREATE TABLE sales.blocked (mail text PRIMARY KEY);
    INSERT INTO sales.blocked SELECT 'm' || n FROM generate_series(1, 100) n;
    CREATE FUNCTION sales.strict(n int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN IF n > 10 THEN RAISE EXCEPTION 'no: secret-%', n; END IF; RETURN n; END $$;
    ANALYZE;
"""


def load(database: str, script: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(script.encode())


@pytest.fixture
def into(postgres: Postgres) -> Iterator[str]:
    """An empty database for the copy."""
    with own_database(postgres, "into") as conninfo:
        yield conninfo


@pytest.fixture
def copied(database: str, into: str) -> Callable[[str], Extent]:
    """Copies a table with all that it needs."""

    def copy_table(name: str) -> Extent:
        with (
            psycopg.connect(database, autocommit=True) as target,
            psycopg.connect(into, autocommit=True) as copy,
        ):
            shape = with_parents(read_shape(target), [name])
            functions, acting = read_functions(target)
            texts = [*shape.tables[0].expressions, *(one.ddl for one in shape.types)]
            needed = needed_functions(functions, texts, acting).functions
            shape = make_tables(copy, type(shape)(
                shape.tables, shape.types, shape.extensions, shape.path, needed
            ))  # fmt: skip
            parts = plan_parts(shape.tables, 2**30)
            with target.transaction():
                return fill(target, copy, shape, parts, 1, 2**30, lambda *_: None)

    return copy_table


def test_indexes_defaults_checks_domains_and_generated_columns_keep_their_functions(
    database: str, into: str, copied: Callable[[str], Extent]
) -> None:
    load(database, COMPUTED)

    found = copied("sales.clients")

    assert found.left_out == ()
    seen = []
    for conninfo in (database, into):
        with psycopg.connect(conninfo, autocommit=True) as conn:
            rows = conn.execute(
                "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM sales.clients t"
            ).fetchone()
            (table,) = with_parents(read_shape(conn), ["sales.clients"]).tables
            columns = [(c.name, c.type, c.default, c.generated) for c in table.columns]
            keys = {(key.kind, key.definition) for key in table.keys}
            seen.append((rows, columns, keys, table.indexes))
    assert seen[0] == seen[1]
    assert {kind for kind, _definition in seen[0][2]} == {"p", "c", "x"}
    with psycopg.connect(into, autocommit=True) as conn:
        new = conn.execute(
            "INSERT INTO sales.clients (mail, name) VALUES ('x', 'abc') RETURNING scored, code"
        ).fetchone()
        assert new is not None
        assert new[0] == 7
        assert new[1].startswith("c0")
        with pytest.raises(psycopg.errors.CheckViolation):
            conn.execute("INSERT INTO sales.clients (mail) VALUES (repeat('x', 200))")


def test_statements_that_call_functions_are_measured_and_what_is_refused_says_why(
    database: str, postgres: Postgres
) -> None:
    load(database, COMPUTED)
    load(
        database,
        "CREATE FUNCTION sales.whose(n int) RETURNS int LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT n'",
    )
    text = """
        -- name: scored
        SELECT id FROM sales.clients WHERE "My tools".outer_score(id) = 9 AND code = 'c7';
        -- name: known
        SELECT id FROM sales.clients WHERE id < 9 AND sales.known(mail) = 1;
        -- name: whose
        SELECT id FROM sales.clients WHERE sales.whose(id) = 9;
        -- name: strict
        SELECT id FROM sales.clients WHERE sales.strict(id) = 5;
    """

    found = advise_on_copy(
        database, parse_workload(text).statements, Limits(), CopyLimits(),
        lambda: nullcontext(postgres), SIZES, 1, lambda *_: None,
    )  # fmt: skip

    assert [str(one) for one in found.measured.unplanned] == [
        "whose: sales.whose is not in the copy: it is SECURITY DEFINER: it runs with its owner's"
        " rights"
    ]
    assert [str(one) for one in found.measured.untimed] == [
        "strict: a function of the database raises an error"
    ]
    assert found.extent.copied["sales.blocked"] == 100  # a function reads it, no statement does
    proof = found.measured.proof
    assert proof is not None
    assert "scored" in {name for kept in proof.kept for name in kept.faster}


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "is SECURITY DEFINER"),
        ("LANGUAGE internal AS 'int4abs'", "is written in internal"),
        ("LANGUAGE sql SET statement_timeout = 0 AS 'SELECT 1'", "sets statement_timeout"),
        ("LANGUAGE sql AS $$ INSERT INTO t VALUES (1); SELECT 1 $$", "has a body that writes"),
        (
            "LANGUAGE sql AS $$ WITH x AS (DELETE FROM t RETURNING 1) SELECT 1 $$",
            "has a body that writes",
        ),
        ("LANGUAGE sql BEGIN ATOMIC DELETE FROM t; SELECT 1; END", "has a body that writes"),
        ("LANGUAGE sql AS $$ SELECT length(pg_read_file('x')) $$", "calls pg_read_file()"),
        ("LANGUAGE sql AS $$ SELECT length(\"pg_read_file\" ('x')) $$", "calls pg_read_file()"),
        (
            'LANGUAGE plpgsql AS $$ DECLARE r record := ROW(U&"\\0070g_read_file"(1));'
            " BEGIN RETURN 1; END $$",
            "has a name in Unicode escapes",
        ),
        ("LANGUAGE sql RETURN length(pg_read_file('x'))", "calls pg_read_file()"),
        ("LANGUAGE sql AS $$ SELECT 1 FROM pg_authid $$", "reads pg_authid"),
        ("LANGUAGE sql AS $$ SELECT 1 FROM query_to_xml('x', true, true, '') $$", "query_to_xml()"),
        ("LANGUAGE plpgsql AS $$ BEGIN RETURN length(pg_read_file('x')); END $$", "pg_read_file()"),
        (
            "LANGUAGE plpgsql AS $$ DECLARE r record := ROW(pg_read_file('x')); BEGIN RETURN 1;"
            " END $$",
            "pg_read_file()",
        ),
        ("LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SELECT 1'; RETURN 1; END $$", "(dynexecute)"),
        (
            "LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN FOR r IN EXECUTE 'SELECT 1' LOOP"
            " RETURN 1; END LOOP; END $$",
            "(dynfors)",
        ),
        ("LANGUAGE plpgsql AS $$ BEGIN RESET ROLE; RETURN 1; END $$", "is no SELECT"),
        ("LANGUAGE plpgsql AS $$ BEGIN COPY t TO PROGRAM 'true'; RETURN 1; END $$", "is no SELECT"),
        ("LANGUAGE plpgsql AS $$ BEGIN UPDATE t SET x = 1; RETURN 1; END $$", "a body that writes"),
        ("LANGUAGE plpgsql AS $$ BEGIN COMMIT; RETURN 1; END $$", "(commit)"),
    ],
)
def test_a_function_that_does_more_than_compute_is_refused(
    database: str, definition: str, reason: str
) -> None:
    load(database, "CREATE TABLE t (x int)")
    load(database, "SET check_function_bodies = off; CREATE FUNCTION f() RETURNS int " + definition)
    with psycopg.connect(database, autocommit=True) as conn:
        functions, acting = read_functions(conn)

    found = needed_functions(functions, ["SELECT f()"], acting)

    assert found.functions == ()
    assert reason in found.refused["public.f()"]


def test_a_function_that_returns_the_rows_of_a_text_is_refused(database: str) -> None:
    load(
        database,
        "CREATE FUNCTION f() RETURNS SETOF int LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN QUERY EXECUTE 'SELECT 1'; END $$",
    )
    with psycopg.connect(database, autocommit=True) as conn:
        functions, acting = read_functions(conn)

    found = needed_functions(functions, ["SELECT f()"], acting)

    assert "runs a text as SQL" in found.refused["public.f()"]


def test_only_what_is_called_comes_however_many_calls_away(database: str) -> None:
    load(
        database,
        "CREATE FUNCTION a() RETURNS int LANGUAGE sql AS 'SELECT 1';"
        "CREATE FUNCTION b() RETURNS int LANGUAGE sql AS 'SELECT a() + 1';"
        "CREATE FUNCTION c() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN b(); END';"
        "CREATE FUNCTION d() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )
    with psycopg.connect(database, autocommit=True) as conn:
        functions, acting = read_functions(conn)

    found = needed_functions(functions, ["SELECT d FROM t WHERE x = C()"], acting)

    assert [f.bare for f in found.functions] == ["a", "b", "c"]
    assert found.refused == {}


def test_checks_and_defaults_that_do_more_than_compute_are_not_copied(database: str) -> None:
    load(
        database,
        "CREATE DOMAIN odd AS text CHECK (pg_sleep(0) IS NOT NULL AND VALUE <> '');"
        "CREATE TABLE t (a odd CHECK (length(a) < 9), b text DEFAULT pg_read_file('x'),"
        " c int CHECK (pg_backend_pid() > c), d text DEFAULT gen_random_uuid()::text)",
    )
    with psycopg.connect(database, autocommit=True) as conn:
        _functions, acting = read_functions(conn)

        shape = without_acting(read_shape(conn), acting)

    (table,) = shape.tables
    assert [key.definition for key in table.keys] == [
        "CHECK ((length((a)::text) < 9))", "CHECK ((pg_backend_pid() > c))",
    ]  # fmt: skip
    defaults = [column.default for column in table.columns]
    assert defaults == ["", "", "", "(gen_random_uuid())::text"]
    assert [one.ddl for one in shape.types] == ["CREATE DOMAIN public.odd AS text"]
