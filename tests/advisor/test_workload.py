from __future__ import annotations

from pathlib import Path

import pytest

from perflab.advisor.catalog import Catalog, ColumnFacts, TableFacts
from perflab.advisor.errors import StatementError
from perflab.advisor.reading import uses_of
from perflab.advisor.sql import parse_one
from perflab.advisor.workload import parse_workload, read_workload, shown

HOSTILE = {
    "SELEC 1": "does not parse",
    "SELECT * FROM orders WHERE": "does not parse",
    "SELECT (1": "does not parse",
    "SELECT 'never ends": "does not parse",
    "SELECT $$never ends": "does not parse",
    "/* never ends": "does not parse",
    "DROP TABLE orders": "is no SELECT",
    "CREATE INDEX ON orders (id)": "is no SELECT",
    "TRUNCATE orders": "is no SELECT",
    "COPY orders TO PROGRAM 'sh'": "is no SELECT",
    "DO $$ BEGIN DELETE FROM orders; END $$": "is no SELECT",
    "EXPLAIN ANALYZE DELETE FROM orders": "is no SELECT",
    "SET statement_timeout = 0": "is no SELECT",
    "CALL cleanup()": "is no SELECT",
    "GRANT ALL ON orders TO public": "is no SELECT",
    "SELECT * INTO copied FROM orders": "is SELECT INTO",
    "SELECT pg_read_file('/etc/passwd')": "calls pg_read_file()",
    "SELECT pg_catalog.pg_terminate_backend(1)": "calls pg_terminate_backend()",
    "SELECT 1 FROM dblink('host=evil', 'SELECT 1') AS t(a int)": "calls dblink()",
    "WITH x AS (SELECT pg_sleep(1e6)) SELECT * FROM x": "calls pg_sleep()",
    "SELECT set_config('role', 'postgres', false)": "calls set_config()",
    "SELECT lo_import('/etc/passwd')": "calls lo_import()",
    "SELECT * FROM orders FOR UPDATE": "locks rows",
    "\\! rm -rf /": "does not parse",
    "\\copy orders TO 'orders.csv'": "does not parse",
    "\\i /etc/passwd": "does not parse",
    "COPY (SELECT * FROM orders) TO STDOUT": "is no SELECT",
    "COPY orders FROM STDIN": "is no SELECT",
    "VACUUM FULL orders": "is no SELECT",
    "BEGIN": "is no SELECT",
    "COMMIT AND CHAIN": "is no SELECT",
    "SET ROLE postgres": "is no SELECT",
    "RESET ROLE": "is no SELECT",
    "SET SESSION AUTHORIZATION postgres": "is no SELECT",
    "ALTER SYSTEM SET fsync = off": "is no SELECT",
    "CREATE TABLE copied AS SELECT * FROM orders": "is no SELECT",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'": "is no SELECT",
    "LISTEN everything": "is no SELECT",
    "LOAD 'evil.so'": "is no SELECT",
    "PREPARE p AS SELECT 1": "is no SELECT",
    "EXECUTE p": "is no SELECT",
    "DECLARE c CURSOR FOR SELECT 1": "is no SELECT",
    "LOCK TABLE orders": "is no SELECT",
    "EXPLAIN (ANALYZE) SELECT pg_sleep(9)": "is no SELECT",
    "WITH x AS (DELETE FROM orders RETURNING pg_sleep(9)) SELECT * FROM x": "calls pg_sleep()",
    "SELECT 1 INTO TEMP copied": "is SELECT INTO",
    "SELECT * FROM ts_stat('SELECT pg_read_file(''/etc/passwd'')')": "calls ts_stat()",
    "SELECT ts_rewrite('a'::tsquery, 'SELECT 1')": "calls ts_rewrite()",
    "SELECT query_to_xml('SELECT 1', true, true, '')": "calls query_to_xml()",
    "SELECT * FROM pg_ls_dir('/')": "calls pg_ls_dir()",
    "SELECT lo_export(1, '/tmp/x')": "calls lo_export()",
    'SELECT "pg_sleep"(9)': "calls pg_sleep()",
    "INSERT INTO orders (id) VALUES (pg_sleep(9))": "calls pg_sleep()",
    "SELECT * FROM orders ORDER BY pg_advisory_lock(1)": "calls pg_advisory_lock()",
    "-- calls: many\nSELECT 1": "has calls: many",
    f"SELECT {'f(' * 900}1{')' * 900}": "is nested too deeply",
    f"SELECT {'+'.join(['1'] * 1_000)}": "is nested too deeply",
    f"SELECT {'+'.join(['1'] * 50_000)}": "has more than 5,000 words",
    f"SELECT {'(' * 50_000}1{')' * 50_000}": "has more than 5,000 words",
    f"SELECT 1 WHERE 1 IN ({', '.join(map(str, range(60_000)))})": "is longer than",
}


@pytest.mark.parametrize("text", HOSTILE)
def test_broken_and_hostile_sql_is_refused_in_one_clear_line(text: str) -> None:
    found = parse_workload(f"SELECT 1;\n{text}")

    assert len(found.refused) == 1
    line = str(found.refused[0])
    assert HOSTILE[text] in line
    assert "\n" not in line
    assert len(line) < 160


CONTAINED = [text for text in HOSTILE if "never ends" not in text and len(text) < 20_000]
"""Those that end before the next statement, and quickly parsed ones."""


@pytest.mark.parametrize("text", CONTAINED)
def test_what_stands_beside_hostile_sql_is_taken(text: str) -> None:
    found = parse_workload(f"SELECT id FROM a;\n{text};\nSELECT id FROM b")

    assert [s.text for s in found.statements] == ["SELECT id FROM a", "SELECT id FROM b"]
    assert found.refused[0].line == 2


@pytest.mark.parametrize(
    ("before", "middle", "after"),
    [
        ("SELECT 1 FROM t WHERE ", "f(", "a"),
        ("SELECT 1 FROM t WHERE a = 1 AND ", "NOT ", "true"),
        ("SELECT * FROM ", "(SELECT * FROM ", "t WHERE a = 1"),
        ("SELECT 1 FROM t WHERE 1 < ", "1 + ", "lower(b)"),
    ],
)
def test_the_deepest_statement_taken_can_be_read(before: str, middle: str, after: str) -> None:
    closing = {"f(": ")", "(SELECT * FROM ": ") x"}.get(middle, "")
    taken = [
        found[0]
        for times in range(1, 140)
        if (found := parse_workload(f"{before}{middle * times}{after}{closing * times}").statements)
    ]
    columns = tuple(ColumnFacts(name, "text") for name in "ab")
    catalog = Catalog((TableFacts("t", "public", "t", 1e6, 10_000, columns),))

    assert 10 < len(taken) < 139
    assert [use.table for use in uses_of(parse_one(taken[-1].text), catalog)] == ["t"]


def test_a_long_list_of_values_is_no_long_statement() -> None:
    text = f"SELECT id FROM t WHERE a IN ({', '.join(map(str, range(20_000)))})"

    assert len(parse_workload(text).statements) == 1


def test_statements_that_differ_in_values_are_one_and_their_calls_add_up() -> None:
    found = parse_workload(
        "-- calls: 1_000\n-- name: order_by_id\nSELECT * FROM orders WHERE id = 1;\n"
        "SELECT * FROM orders WHERE id = 2;\nSELECT * FROM orders WHERE total = 2;"
    )

    first, second = found.statements
    assert (first.name, first.calls) == ("order_by_id", 1_001)
    assert [e.rpartition("\n")[2] for e in first.examples] == [
        "SELECT * FROM orders WHERE id = 1",
        "SELECT * FROM orders WHERE id = 2",
    ]
    assert (second.name, second.calls) == ("statement_2", 1)


def test_two_statements_of_one_name_get_two() -> None:
    found = parse_workload("-- name: a\nSELECT 1;\n-- name: a\nSELECT id FROM t;")

    assert [s.name for s in found.statements] == ["a", "a_2"]


def test_a_statement_is_shown_without_its_values() -> None:
    (statement,) = parse_workload(
        "SELECT * /* for ada */ FROM orders\nWHERE email = 'ada@example.org' AND n = 42"
    ).statements

    assert shown(statement) == "SELECT * FROM orders WHERE email = ? AND n = ?"
    assert len(shown(statement, width=20)) == 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "holds no statement"),
        (b"-- nothing but words", "holds no statement"),
        (b"DROP TABLE orders;", "line 1: the statement is no SELECT"),
        (b"SELECT 1;\nSELECT 2 \0; DROP TABLE orders;", "line 2 holds a NUL byte"),
        ("SELECT 1".encode("utf-16"), "not UTF-8"),
        ("SELECT 'M\u00fcller'".encode("latin-1"), "not UTF-8"),
        (b"SELECT 1;" * 1_000_000, "larger than 8 MiB"),
    ],
)
def test_a_file_of_no_use_is_refused_by_name(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "workload.sql"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StatementError, match=message) as caught:
        read_workload(path)
    assert str(path) in str(caught.value)


def test_a_device_that_never_ends_is_read_to_the_limit() -> None:
    with pytest.raises(StatementError, match="/dev/zero: larger than"):
        read_workload(Path("/dev/zero"))


def test_a_mark_before_the_first_statement_is_no_part_of_it(tmp_path: Path) -> None:
    path = tmp_path / "workload.sql"
    path.write_text("SELECT id FROM t", encoding="utf-8-sig")

    assert [s.text for s in read_workload(path).statements] == ["SELECT id FROM t"]


def test_two_statements_of_one_line_are_two() -> None:
    found = parse_workload("SELECT id FROM t; DROP TABLE t")

    assert [s.text for s in found.statements] == ["SELECT id FROM t"]
    assert [str(r) for r in found.refused] == [
        "line 1: the statement is no SELECT, INSERT, UPDATE, DELETE or MERGE (Drop)"
    ]


def test_refusals_quote_no_value() -> None:
    refused = parse_workload("SELECT * FROM orders WHERE email = 'ada@example.org' = = 3").refused

    assert "ada" not in str(refused)


def test_tables_of_one_name_in_two_schemas_make_two_statements() -> None:
    text = (
        "SELECT id FROM sales.things WHERE size = 1; SELECT id FROM things WHERE size = 1;"
        "SELECT id FROM sales.things WHERE size = 2"
    )

    found = parse_workload(text).statements

    assert [(one.text, one.calls) for one in found] == [
        ("SELECT id FROM sales.things WHERE size = 1", 2),
        ("SELECT id FROM things WHERE size = 1", 1),
    ]
