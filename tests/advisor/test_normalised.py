"""Texts of pg_stat_statements made into SQL that a server takes."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pglast.parser import fingerprint

from perflab.advisor.errors import StatementError
from perflab.advisor.normalised import filled, readable
from perflab.advisor.sql import parameters, redacted
from perflab.advisor.workload import parse_workload

TYPED = (
    ("interval $1", "CAST($1 AS interval)"),
    ("date $1", "CAST($1 AS date)"),
    ("timestamp $1", "CAST($1 AS timestamp)"),
    ("timestamp with time zone $1", "CAST($1 AS timestamp with time zone)"),
    ("timestamp(3) $1", "CAST($1 AS timestamp(3))"),
    ("interval $1 day", "CAST($1 AS interval day)"),
    ("interval $1 day to second(3)", "CAST($1 AS interval day to second (3))"),
    ("numeric(10,2) $1", "CAST($1 AS numeric(10, 2))"),
    ("double precision $1", "CAST($1 AS double precision)"),
    ("uuid $1", "CAST($1 AS uuid)"),
    ("pg_catalog.date $1", "CAST($1 AS pg_catalog.date)"),
    ("extract($1 from now())", "pg_catalog.extract($1 , now())"),
    ("extract($1 from /* $9 */ now() - interval $2)",
     "pg_catalog.extract($1 , /* $9 */ now() - CAST($2 AS interval))"),
)  # fmt: skip
LEFT = (
    "'interval $1'",
    "'ü', \"date $1\" /* date $1 */ -- interval $1",
    "$tag$ interval $1 $tag$",
    "CAST($1 AS date), $2::interval",
    "now() AT TIME ZONE $1",
    "extract(epoch from now())",
    "1 AS interval, date '2025-01-01'",
)


@pytest.mark.parametrize(("kept", "wanted"), TYPED)
def test_what_only_a_constant_may_follow_becomes_a_cast(kept: str, wanted: str) -> None:
    assert readable(f"SELECT 'ü', {kept} AS x") == f"SELECT 'ü', {wanted} AS x"


@pytest.mark.parametrize("text", LEFT)
def test_what_a_server_takes_stays_as_it_is(text: str) -> None:
    text = f'SELECT {text}\nFROM (SELECT 1 AS "date $1") AS interval'

    assert readable(text) == text


@given(st.lists(st.sampled_from([*(kept for kept, _ in TYPED), *LEFT[:3]]), min_size=1, max_size=6))
def test_whatever_is_put_together_means_the_same_and_is_read_once(parts: list[str]) -> None:
    text = "SELECT " + "\n, ".join(parts)
    once = readable(text)

    assert readable(once) == once
    if "extract" not in text:  # which is spelt as another function
        assert fingerprint(once) == fingerprint(text)


def test_a_server_takes_them(shop: str) -> None:
    with psycopg.connect(shop, autocommit=True) as conn:
        for kept, wanted in TYPED:
            with pytest.raises(psycopg.errors.SyntaxError):
                conn.execute(f"PREPARE kept AS SELECT {kept}".encode())
            conn.execute(f"PREPARE wanted AS SELECT {wanted}; DEALLOCATE wanted".encode())


def test_what_is_no_select_or_dml_is_refused() -> None:
    with pytest.raises(StatementError, match="is no SELECT"):
        readable("SET x TO 1")


def test_values_are_filled_in_where_parameters_stand_and_nowhere_else() -> None:
    text = "SELECT '$1', \"$2\" /* $1 */, $2 + $11 + $2 FROM ü WHERE $1"

    assert filled(text, {2: "'a$1'", 11: "x"}) == (
        "SELECT '$1', \"$2\" /* $1 */, 'a$1' + x + 'a$1' FROM ü WHERE $1"
    )


def test_letters_of_more_than_a_byte_move_no_edge() -> None:
    read = parse_workload("SELECT 'üüü', 7 FROM ü;\n-- ÄÖ\nSELECT '東京' FROM ä WHERE ö = $1")

    assert [redacted(one.text) for one in read.statements] == [
        "SELECT ?, ? FROM ü",
        "SELECT ? FROM ä WHERE ö = $1",
    ]
    assert [parameters(one.text) for one in read.statements] == [0, 1]
