"""Scripts are cut into statements where PostgreSQL's own client cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.workload.script import ScriptError, read_text, split

TRICKY = (
    "SELECT 'a;b''c;'",
    "SELECT E'it\\'s; fine', 'x'",
    'SELECT ";" AS "a"";b"',
    "SELECT $$ ; $$ || $tag$ $$ ; $tag$",
    "SELECT 1 -- not; here\n, 2",
    "SELECT 1 /* nor; /* in; */ here; */ + 1",
    "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END",
    "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql BEGIN ATOMIC INSERT INTO t VALUES (1); END",
    "SELECT a$b, c$d$e FROM t",
    "BEGIN",
    "SELECT CASE WHEN true THEN 1 END",
    "SELECT 'ümläut; ß', $é$;$é$",
)


@given(st.lists(st.sampled_from(TRICKY), max_size=8), st.sampled_from([";", ";\n", " ;\n\n-- c\n"]))
def test_statements_come_back_whole_in_order_and_with_their_lines(
    statements: list[str], glue: str
) -> None:
    text = "".join(statement + glue for statement in statements)
    found = read_text(text)
    assert [s.sql.decode().removeprefix("-- c\n") for s in found] == statements
    lines = text.splitlines()
    for statement in found:
        first = statement.text.split()[0].encode().decode()
        assert first in lines[statement.line - 1]


def test_a_last_statement_needs_no_semicolon_and_blank_ones_are_none() -> None:
    assert [s.sql for s in read_text(";;\n-- only this\n; SELECT 1")] == [b"SELECT 1"]


def test_copy_data_is_no_sql() -> None:
    script = (
        b"COPY t (a) FROM stdin;\n1;'\n\\\\x\n\\.\nSELECT 2;\nCOPY t TO stdout;\n"
        b"copy t from STDIN with (format csv);\n3\n\\.\n"
    )
    found = [(s.sql, list(s.data) if s.data is not None else None) for s in split(_lines(script))]
    assert found == [
        (b"COPY t (a) FROM stdin", [b"1;'\n", b"\\\\x\n"]),
        (b"SELECT 2", None),
        (b"COPY t TO stdout", None),
        (b"copy t from STDIN with (format csv)", [b"3\n"]),
    ]


def test_copy_data_that_nobody_reads_is_passed_over() -> None:
    script = b"COPY t FROM stdin;\n1\n\\.\nSELECT 2;\n"
    assert [s.line for s in split(_lines(script))] == [1, 4]


def test_a_script_is_read_as_it_is_needed() -> None:
    def endless() -> object:
        while True:
            yield b"SELECT 1;\n"

    statements = split(endless())  # type: ignore[arg-type]
    assert [next(statements).line for _ in range(3)] == [1, 2, 3]


def test_what_pg_dump_says_to_psql_only_is_passed_over() -> None:
    found = read_text("\\restrict abc\nSELECT 1;\n\\unrestrict abc\n")
    assert [s.sql for s in found] == [b"SELECT 1"]


@pytest.mark.parametrize(
    ("script", "line", "named"),
    [
        ("SELECT 1;\n\\connect other\n", 2, r"\\connect"),
        ("SELECT 1 \\gset\n", 1, r"\\gset"),
        ("SELECT 1;\n\nSELECT 'x\n;\n", 3, "never ends"),
        ("DO $$ BEGIN\n; $x$", 1, "never ends"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(script: str, line: int, named: str) -> None:
    with pytest.raises(ScriptError, match=named) as caught:
        read_text(script)
    assert caught.value.line == line


def _lines(script: bytes) -> list[bytes]:
    return script.splitlines(keepends=True)
