"""Data comes in whole: from scripts, every format of pg_dump, and CSV files."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from perflab.errors import ConfigError
from perflab.workload import Workload, load_data, load_workload

from .conftest import contents, dump, ignore, no_pg_restore, pg_restore

WorkloadWith = Callable[[str], Workload]


def test_the_example_loads_the_same_rows_every_time(
    example: Path, loaded_example: str, empty: str
) -> None:
    load_data(empty, load_workload(example / "workload.toml"), ignore, no_pg_restore)
    first = contents(loaded_example)
    assert first == contents(empty)
    assert first["parcels"][0] == 60_000
    assert first["scans"][0] > 200_000


@pytest.mark.parametrize("format_", ["plain", "custom", "directory", "tar"])
def test_a_dump_in_any_format_brings_schema_and_rows(
    format_: str, loaded_example: str, empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    dump(loaded_example, tmp_path / "example.dump", f"--format={format_}")
    workload = workload_with('[data]\ndump = "example.dump"')
    load_data(empty, workload, ignore, no_pg_restore if format_ == "plain" else pg_restore)
    assert contents(empty) == contents(loaded_example)


def test_a_dump_of_inserts_with_rights_and_sql_bodies_loads(
    empty: str, database: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute("CREATE TABLE items (id bigint PRIMARY KEY, name text)")
        conn.execute("INSERT INTO items VALUES (1, 'a;''b'), (2, E'c\\\\d\n;e')")
        conn.execute(
            "CREATE FUNCTION f() RETURNS bigint BEGIN ATOMIC SELECT max(id) FROM items; END"
        )
        conn.execute("GRANT SELECT ON items TO PUBLIC")
    dump(database, tmp_path / "items.sql", "--inserts")
    assert "OWNER TO" in (tmp_path / "items.sql").read_text()
    load_data(empty, workload_with('[data]\ndump = "items.sql"'), ignore, no_pg_restore)
    assert contents(empty) == contents(database)
    with psycopg.connect(empty) as conn:
        assert conn.execute("SELECT f()").fetchone() == (2,)
        granted = conn.execute("SELECT relacl FROM pg_class WHERE relname = 'items'").fetchone()
    assert granted == (None,), "rights are passed over"


def test_csv_files_follow_their_header_in_the_order_of_the_file(
    empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    (tmp_path / "parents.csv").write_text('name,id\n"one, ""first""\n2nd line",1\n,2\n')
    (tmp_path / "children.csv").write_bytes("\ufeffparent\r\n1\r\n2\r\n".encode())
    workload = workload_with(
        """
        [schema]
        sql = '''
        CREATE TABLE parents (id bigint PRIMARY KEY, name text);
        CREATE TABLE children (parent bigint REFERENCES parents);
        '''
        [data.csv]
        parents = "parents.csv"
        "public.children" = "children.csv"
        """
    )
    load_data(empty, workload, ignore, no_pg_restore)
    with psycopg.connect(empty) as conn:
        assert conn.execute("SELECT * FROM parents ORDER BY id").fetchall() == [
            (1, 'one, "first"\n2nd line'),
            (2, None),
        ]
        assert conn.execute("SELECT count(*) FROM children").fetchone() == (2,)


def test_a_script_after_a_dump_finds_its_tables_without_naming_their_schema(
    empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    (tmp_path / "old.sql").write_text(
        "SELECT pg_catalog.set_config('search_path', '', false);\n"
        "SET transaction_timeout = 0;\nCREATE TABLE public.items (id bigint);\n"
    )
    workload = workload_with(
        '[data]\ndump = "old.sql"\nsql = "INSERT INTO items SELECT generate_series(1, 5)"'
    )
    load_data(empty, workload, ignore, no_pg_restore)
    assert contents(empty)["items"][0] == 5


def test_a_dump_that_is_broken_is_one_clear_error(
    loaded_example: str, empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    dump(loaded_example, tmp_path / "example.dump", "--format=custom")
    whole = (tmp_path / "example.dump").read_bytes()
    (tmp_path / "example.dump").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"example\.dump") as caught:
        load_data(empty, workload_with('[data]\ndump = "example.dump"'), ignore, pg_restore)
    assert "\n" not in str(caught.value)


def test_a_compressed_script_is_to_be_unpacked(
    empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    (tmp_path / "items.sql").write_bytes(gzip.compress(b"SELECT 1;"))
    with pytest.raises(ConfigError, match="unpack it first"):
        load_data(empty, workload_with('[data]\ndump = "items.sql"'), ignore, no_pg_restore)


def test_a_dump_made_for_another_database_is_refused_with_its_line(
    empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    (tmp_path / "items.sql").write_text("SELECT 1;\n\nCREATE DATABASE shop;\n\\connect shop\n")
    with pytest.raises(ConfigError, match=r"items\.sql, line 3: CREATE DATABASE"):
        load_data(empty, workload_with('[data]\ndump = "items.sql"'), ignore, no_pg_restore)


def test_an_error_of_the_server_names_the_line_within_a_long_statement(
    empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    (tmp_path / "items.sql").write_text("SELECT 1;\n-- second\nSELECT\n  1,\n  colour\nFROM x;\n")
    with pytest.raises(ConfigError, match=r'items\.sql, line 6: relation "x"'):
        load_data(empty, workload_with('[data]\ndump = "items.sql"'), ignore, no_pg_restore)


def test_an_error_in_copy_data_names_the_line_of_the_row(
    empty: str, tmp_path: Path, workload_with: WorkloadWith
) -> None:
    (tmp_path / "items.sql").write_text(
        "CREATE TABLE items (id bigint);\n\nCOPY items FROM stdin;\n1\n2\nthree\n\\.\n"
    )
    with pytest.raises(ConfigError, match=r'items\.sql, line 6: .*"three"'):
        load_data(empty, workload_with('[data]\ndump = "items.sql"'), ignore, no_pg_restore)
