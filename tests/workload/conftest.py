"""The worked example, its dumps, and a way to write a workload beside a test's files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from perflab.database.own import Databases
from perflab.paths import checkout_dir
from perflab.services import Postgres
from perflab.services.embedded.binaries import find_postgres
from perflab.workload import Workload, load_data, load_workload

MINIMAL = """
title = "Shop"
{more}
[after]
sql = "CREATE INDEX ON items (id)"
[[query]]
name = "one"
sql = "SELECT 1"
"""
"""A workload of which only the data matters."""


@pytest.fixture(scope="session")
def example() -> Path:
    """The folder of the worked example."""
    root = checkout_dir()
    assert root is not None
    return root / "docs" / "examples" / "parcels"


@pytest.fixture
def workload_with(tmp_path: Path) -> Callable[[str], Workload]:
    """A minimal workload beside the test's own files, with more lines at its top."""

    def write(more: str) -> Workload:
        path = tmp_path / "workload.toml"
        path.write_text(MINIMAL.format(more=more))
        return load_workload(path)

    return write


@pytest.fixture(scope="session")
def loaded_example(postgres: Postgres, example: Path) -> Iterator[str]:
    """The conninfo of a database with the example's rows."""
    databases = Databases(postgres)
    conninfo = databases.create("test_example")
    load_data(conninfo, load_workload(example / "workload.toml"), ignore, no_pg_restore)
    yield conninfo
    databases.close()


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The conninfo of an empty database."""
    databases = Databases(postgres)
    yield databases.create("test_empty")
    databases.close()


def ignore(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def no_pg_restore() -> str:
    raise AssertionError("a plain script needs no pg_restore")


def pg_restore() -> str:
    return str(Path(find_postgres().path) / "pg_restore")


def dump(conninfo: str, file: Path, *options: str) -> None:
    """Run pg_dump."""
    parts = conninfo_to_dict(conninfo)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "dbname": "PGDATABASE"}
    places = {variable: str(parts[key]) for key, variable in names.items()}
    subprocess.run(
        [str(Path(find_postgres().path) / "pg_dump"), *options, f"--file={file}"],
        env={**os.environ, **places, "PGPASSWORD": str(parts["password"])},
        check=True,
        timeout=120,
    )


def contents(conninfo: str) -> dict[str, tuple[int, int]]:
    """By table its rows and a checksum of them, and the number of its constraints."""
    found: dict[str, tuple[int, int]] = {}
    with psycopg.connect(conninfo) as conn:
        tables = conn.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        ).fetchall()
        for (table,) in tables:
            row = conn.execute(
                f"SELECT count(*), sum(hashtext(t::text)::bigint) FROM {table} t".encode()
            ).fetchone()
            assert row is not None
            found[table] = (row[0], int(row[1]))
        row = conn.execute("SELECT count(*), 0 FROM pg_constraint WHERE contype <> 'n'").fetchone()
        assert row is not None
        found["constraints"] = (row[0], row[1])
    return found
