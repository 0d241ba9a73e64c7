"""A whole batch on servers of the user's own, which are the same afterwards as before."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from perflab.services import PostgresSettings, Services, open_services
from perflab.services.embedded.postgres import EmbeddedPostgres
from perflab.services.external.leftovers import connect_redis

PROFILES = Path(__file__).parent / "fixtures" / "profiles.toml"
SECRET = "hunter2-of-the-worker"
GONE_S = 10.0
FORBIDDEN = re.compile(
    r"CHECKPOINT|ALTER (SYSTEM|ROLE|USER)|CREATE (ROLE|USER|EXTENSION)|pg_stat\w*_reset"
    r"|pg_buffercache_evict|pg_reload_conf|pg_switch_wal|pg_drop_replication_slot|DISCARD ALL"
    r"|ALTER DATABASE (?!\"?perflab_\w+\"? RENAME)",
    re.IGNORECASE,
)
"""What is done to a server and not to the lab's own databases."""
FORBIDDEN_REDIS = {
    "acl|setuser",
    "bgrewriteaof",
    "bgsave",
    "client|kill",
    "config|resetstat",
    "config|rewrite",
    "config|set",
    "debug",
    "flushall",
    "flushdb",
    "function|flush",
    "memory|purge",
    "save",
    "script|flush",
    "shutdown",
    "slowlog|reset",
    "swapdb",
}


@pytest.fixture(scope="module")
def plain() -> Iterator[Services]:
    """The user's servers: other people's data, and one role that may create databases."""
    extra = {"log_statement": "all", "autovacuum": "off"}
    settings = PostgresSettings(shared_buffers_mb=128, extra=extra)
    with open_services("embedded", settings=settings) as services:
        with psycopg.connect(services.postgres.conninfo(), autocommit=True) as conn:
            conn.execute(f"CREATE ROLE worker LOGIN CREATEDB PASSWORD '{SECRET}'".encode())
            conn.execute("ALTER ROLE worker SET statement_timeout = '10min'")
            conn.execute("CREATE DATABASE app OWNER worker")
            conn.execute("COMMENT ON DATABASE app IS 'perflab is not its owner'")
            conn.execute("ALTER DATABASE app SET work_mem = '5MB'")
            conn.execute("CREATE DATABASE perflab_of_somebody OWNER worker")
        with psycopg.connect(services.postgres.conninfo("app"), autocommit=True) as conn:
            conn.execute("CREATE EXTENSION pg_stat_statements")
            conn.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")
            conn.execute("INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 500) n")
            conn.execute("UPDATE users SET name = 'changed' WHERE id < 50")
            conn.execute("COMMENT ON TABLE users IS 'theirs'")
            conn.execute("GRANT ALL ON users TO worker")
            conn.execute("SELECT pg_stat_force_next_flush()")
        with connect_redis(services.redis.url()) as client:
            client.mset({"session:1": "a", "perflab": "b", "perflab:theirs": "c"})
            client.hset("cart:1", mapping={"x": 1, "y": 2})
            client.set("token", "d", ex=86_400)
            client.rpush("queue", *range(10))
        yield services


SERVER = """
    SELECT d.datname, d.datdba, d.datacl::text, d.datconnlimit, d.datallowconn,
           shobj_description(d.oid, 'pg_database') FROM pg_database d ORDER BY 1;
    SELECT rolname, rolsuper, rolcreatedb, rolcreaterole, rolconnlimit, rolvaliduntil,
           rolpassword FROM pg_authid ORDER BY 1;
    SELECT * FROM pg_auth_members ORDER BY 1;
    SELECT * FROM pg_db_role_setting ORDER BY 1, 2;
    SELECT name, setting, source FROM pg_settings ORDER BY 1;
    SELECT spcname FROM pg_tablespace ORDER BY 1;
    SELECT slot_name FROM pg_replication_slots ORDER BY 1;
    SELECT datname, stats_reset FROM pg_stat_database ORDER BY 1;
    SELECT stats_reset FROM pg_stat_bgwriter;
    SELECT stats_reset FROM pg_stat_checkpointer;
    SELECT stats_reset FROM pg_stat_archiver;
    SELECT stats_reset FROM pg_stat_wal;
    SELECT DISTINCT stats_reset FROM pg_stat_io;
    SELECT DISTINCT stats_reset FROM pg_stat_slru;
    SELECT pg_postmaster_start_time(), pg_conf_load_time()
"""
COUNTERS = """
    SELECT * FROM pg_stat_user_tables ORDER BY relname;
    SELECT * FROM pg_stat_user_indexes ORDER BY indexrelname;
    SELECT stats_reset FROM pg_stat_statements_info
"""
CONTENTS = """
    SELECT extname, extversion FROM pg_extension ORDER BY 1;
    SELECT relname, relfilenode, relacl::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace ORDER BY 1;
    SELECT objoid::regclass::text, description FROM pg_description
        WHERE classoid = 'pg_class'::regclass
          AND objoid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace);
    SELECT xmin::text, ctid::text, * FROM users ORDER BY id
"""


def postgres_state(services: Services, *parts: tuple[str, str]) -> dict[str, Any]:
    """The answers to the statements of each part, a database and what to ask it, in turn."""
    state = {}
    for database, statements in parts:
        with psycopg.connect(services.postgres.conninfo(database), autocommit=True) as conn:
            for statement in statements.split(";"):
                state[f"{database}: {statement.strip()}"] = conn.execute(
                    statement.encode()
                ).fetchall()
            conn.execute("SELECT pg_stat_force_next_flush()")
    return state


def state(services: Services, client: redis.Redis, *, first: bool) -> dict[str, Any]:
    """Everything that must not change.

    Reading the contents counts as a scan, so they are read before the counters the first time,
    and after them the second time.
    """
    parts = [("postgres", SERVER), ("app", CONTENTS), ("app", COUNTERS)]
    found = postgres_state(services, *(parts if first else reversed(parts)))
    return {**found, **redis_state(client)}


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for what, found in before.items():
        assert after[what] == found, what


def redis_state(client: redis.Redis) -> dict[str, Any]:
    keys = sorted(key.decode() for key in client.scan_iter() if isinstance(key, bytes))
    info = client.info("everything")
    return {
        "keys": {key: (client.dump(key), client.pexpiretime(key)) for key in keys},
        "config": client.config_get("*"),
        "acl": client.acl_list(),
        "databases": {name: value["keys"] for name, value in info.items() if name[:2] == "db"},
        "run": info["run_id"],
        "role": info["role"],
    }


@pytest.fixture
def temporary() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="url-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start_batch(
    services: Services, temporary: Path, run: Path, *more: str
) -> tuple[psutil.Popen, Path]:
    """A batch on those servers, its output in a file."""
    log = temporary / "log"
    command = [str(Path(sys.executable).with_name("perflab")), "run", "01_database"]
    process = psutil.Popen(
        [*command, "--profile", "smoke", "--out", str(run), *more],
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "PERFLAB_PROFILES": str(PROFILES),
            "PERFLAB_POSTGRES_URL": f"postgresql://worker:{SECRET}@127.0.0.1:"
            f"{services.postgres.port}/app",
            "PERFLAB_REDIS_URL": services.redis.url(),
        },
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    return process, log


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(720)
def test_a_whole_batch_leaves_the_servers_as_they_were(
    plain: Services, temporary: Path, tmp_path: Path
) -> None:
    control = plain.postgres.control
    assert isinstance(control, EmbeddedPostgres)
    with connect_redis(plain.redis.url()) as client:
        before = state(plain, client, first=True)
        logged = control.site.log.stat().st_size
        calls = set(client.info("commandstats"))
        run = tmp_path / "run"
        process, log = start_batch(plain, temporary, run, "--services", "url")
        exit_code = process.wait(660)
        output = log.read_text()
        said = control.site.log.read_bytes()[logged:].decode()
        after_calls = set(client.info("commandstats"))
        after = state(plain, client, first=False)
    assert exit_code == 0, output
    assert_same(before, after)
    statements = [line for line in said.splitlines() if "statement:" in line or "execute" in line]
    # the log is read at all
    assert [line for line in statements if "CREATE DATABASE" in line]
    assert [line for line in statements if FORBIDDEN.search(line)] == []
    new = {name.removeprefix("cmdstat_") for name in after_calls - calls}
    assert new & FORBIDDEN_REDIS == set()
    # what the run says of it
    environment = json.loads((run / "environment.json").read_bytes())
    assert environment["servers"]["postgres"]["rung"] == "url"
    assert any("not the lab's" in sentence for sentence in environment["lacks"])
    table = "".join(path.read_text() for path in run.glob("tables/restart.*"))
    assert "the server itself never stopped" in table
    secrets = (SECRET, plain.redis.address.password)
    assert not [secret for secret in secrets if secret in output]
    for path in run.rglob("*"):
        if path.is_file():
            assert not [secret for secret in secrets if secret.encode() in path.read_bytes()], path


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_killed_batch_leaves_the_servers_as_they_were(
    plain: Services, temporary: Path, tmp_path: Path
) -> None:
    with connect_redis(plain.redis.url()) as client:
        before = state(plain, client, first=True)
        process, log = start_batch(plain, temporary, tmp_path / "run")
        try:
            wait_until(lambda: len(of_the_lab(plain)) >= 5 or process.poll() is not None, 120)
            assert process.poll() is None, log.read_text()
            assert client.hlen("perflab:labs") == 1
        finally:
            process.kill()
            process.wait()
        wait_until(lambda: not of_the_lab(plain) and not list(temporary.glob("perflab-*")), GONE_S)
        after = state(plain, client, first=False)
    assert_same(before, after)


def of_the_lab(services: Services) -> list[str]:
    """The lab's databases: three templates, then clones in the notebook."""
    with psycopg.connect(services.postgres.conninfo()) as conn:
        rows = conn.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^perflab_[0-9a-f]{8}_'"
        )
        return [row[0] for row in rows]
