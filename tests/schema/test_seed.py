"""Loading: exact counts, the declared schema, correlated columns, the same rows for a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import psycopg
import pytest

from perflab.schema import rows
from perflab.schema.identities import email
from perflab.schema.population import Population
from perflab.schema.seed import (
    SCHEMA_VERSION,
    SeedError,
    create_schema,
    finish,
    load,
    rows_per_table,
)
from perflab.services import Postgres

USERS = 1_200

CATALOG = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE contype IN ('p', 'u', 'f') AND connamespace = 'public'::regnamespace
    ORDER BY 1, 2
"""


@pytest.fixture(scope="module")
def loaded(postgres: Postgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.conninfo(), autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS test_seed_loaded WITH (FORCE)")
        admin.execute("CREATE DATABASE test_seed_loaded")
        try:
            with psycopg.connect(postgres.conninfo("test_seed_loaded"), autocommit=True) as conn:
                create_schema(conn)
                load(conn, Population(USERS, 42))
                finish(conn)
                yield conn
        finally:
            admin.execute("DROP DATABASE test_seed_loaded WITH (FORCE)")


def count(conn: psycopg.Connection, condition: str) -> int:
    row = conn.execute(f"SELECT count(*) FROM {condition}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_every_table_gets_exactly_its_rows(loaded: psycopg.Connection) -> None:
    wanted = rows_per_table(USERS)
    assert {table: count(loaded, table) for table in wanted} == wanted
    assert 100 <= sum(wanted.values()) / USERS <= 110
    assert count(loaded, "idempotency_keys") == 0


def test_constraints_after_loading_are_those_declared(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        create_schema(conn)
        declared = conn.execute(CATALOG).fetchall()
        load(conn, Population(20, 1))
        assert conn.execute(CATALOG).fetchall() == declared
        assert len(declared) == 12 + 1 + 11  # primary keys, the e-mail, foreign keys


def test_the_before_arm_has_no_index_but_those_of_its_keys(loaded: psycopg.Connection) -> None:
    extra = loaded.execute(
        """
        SELECT indexrelid::regclass::text FROM pg_index
        WHERE indrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
          AND NOT indisprimary AND NOT indisunique
        """
    ).fetchall()
    assert extra == []


def test_tables_are_logged_frozen_and_analysed(loaded: psycopg.Connection) -> None:
    tables = loaded.execute(
        """
        SELECT c.relname FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
          AND (c.relpersistence <> 'p' OR c.relallvisible < c.relpages OR s.last_analyze IS NULL)
        """
    ).fetchall()
    assert tables == []


def test_new_rows_get_ids_after_the_loaded_ones(loaded: psycopg.Connection) -> None:
    with loaded.transaction(force_rollback=True):
        row = loaded.execute(
            "INSERT INTO users (email, name, plan, created_at) "
            "VALUES ('new@example.com', 'New', 'free', now()) RETURNING id"
        ).fetchone()
    assert row == (USERS + 1,)


@pytest.mark.parametrize(
    "impossible",
    [
        "tasks WHERE (status = 'done') <> (completed_at IS NOT NULL)",
        "tasks WHERE due_date <= created_at OR completed_at < created_at",
        "tasks WHERE reminder_at >= due_date OR reminder_at <= created_at",
        "tasks WHERE reminder_at IS NOT NULL AND due_date IS NULL",
        "tasks WHERE greatest(created_at, updated_at, completed_at) > '2025-09-01 18:00Z'",
        "tasks t JOIN projects p ON p.id = t.project_id WHERE p.user_id <> t.user_id",
        "tasks t JOIN users u ON u.id = t.user_id WHERE t.created_at < u.created_at",
        "notes n JOIN users u ON u.id = n.user_id WHERE n.created_at < u.created_at",
        "notes WHERE updated_at < created_at",
        "notes WHERE array_length(tags, 1) > (SELECT count(DISTINCT t) FROM unnest(tags) t)",
        "habits WHERE archived_at < created_at",
        "habit_entries JOIN habits h ON h.id = habit_id WHERE entry_date < h.created_at::date",
        "(SELECT FROM habit_entries GROUP BY habit_id, entry_date HAVING count(*) > 1) twice",
        "notifications WHERE read_at < created_at",
        "sessions WHERE last_seen_at NOT BETWEEN created_at AND expires_at",
        "goals WHERE (status = 'achieved') <> (progress = 100)",
    ],
)
def test_no_row_contradicts_another(loaded: psycopg.Connection, impossible: str) -> None:
    assert count(loaded, impossible) == 0


def test_events_lie_in_the_order_of_their_time(loaded: psycopg.Connection) -> None:
    for table, column in (("analytics_events", "occurred_at"), ("habit_entries", "entry_date")):
        out_of_order = count(
            loaded,
            f"(SELECT {column} < lag({column}) OVER (ORDER BY ctid) AS back FROM {table}) x "
            "WHERE back",
        )
        assert out_of_order == 0


def test_activity_is_skewed_and_nobody_is_absurd(loaded: psycopg.Connection) -> None:
    counts = [
        row[0]
        for row in loaded.execute(
            "SELECT count(*) FROM tasks GROUP BY user_id ORDER BY 1 DESC"
        ).fetchall()
    ]
    top = sum(counts[: USERS // 100]) / sum(counts)
    assert 0.1 < top < 0.3
    assert counts[0] < 3_000


def test_urgent_tasks_have_nearer_due_dates(loaded: psycopg.Connection) -> None:
    days: dict[int, float] = dict(
        loaded.execute(
            "SELECT priority, avg(extract(epoch FROM due_date - created_at)) FROM tasks GROUP BY 1"
        ).fetchall()
    )
    assert days[1] > days[2] > days[3] > days[4]


def test_a_seed_always_gives_the_same_bytes_and_another_seed_others() -> None:
    def digest(seed: int) -> str:
        found = hashlib.sha256()
        for table in rows.PER_USER:
            for _, data in rows.chunks(table, Population(300, seed)):
                found.update(data)
        return found.hexdigest()

    assert digest(1) == digest(1)
    assert digest(1) != digest(2)


@pytest.mark.parametrize("users", [10, 25, 60, 300, 5_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_no_habit_is_ticked_twice_a_day_at_any_size(users: int, seed: int) -> None:
    layout = np.dtype(
        [
            ("head", "V6"),
            ("id", ">i8"),
            ("l1", "V4"),
            ("habit", ">i8"),
            ("l2", "V4"),
            ("day", ">i4"),
            ("tail", "V6"),
        ]
    )
    population = Population(users, seed)
    data = b"".join(part for _, part in rows.chunks("habit_entries", population))
    entries = np.frombuffer(data, layout)
    assert len(entries) == 25 * users
    assert len(set(zip(entries["habit"].tolist(), entries["day"].tolist(), strict=True))) == len(
        entries
    )
    assert entries["habit"].min() >= 1
    assert entries["habit"].max() <= 3 * users
    assert np.array_equal(entries["id"], np.arange(1, len(entries) + 1))


def test_a_table_does_not_depend_on_which_others_were_made() -> None:
    alone = list(rows.chunks("notes", Population(50, 9)))
    population = Population(50, 9)
    for table in rows.PER_USER:
        list(rows.chunks(table, population))
    assert list(rows.chunks("notes", population)) == alone


def test_rows_come_in_bounded_chunks() -> None:
    for table in rows.PER_USER:
        chunks = [count for count, _ in rows.chunks(table, Population(2_000, 1))]
        assert max(chunks) <= rows.CHUNK_ROWS
        assert sum(chunks) == rows_per_table(2_000)[table]


def test_addresses_differ_also_in_lower_case() -> None:
    assert len({email(user).lower() for user in range(1, 20_000)}) == 19_999


def test_progress_reaches_the_total(database: str) -> None:
    seen: list[tuple[str, int, int]] = []
    with psycopg.connect(database) as conn:
        create_schema(conn)
        report = load(conn, Population(20, 1), lambda *step: seen.append(step))
    total = sum(report.rows.values())
    assert seen[-1][1:] == (total, total)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert set(report.rows_per_s) == set(report.rows)


def test_a_database_in_use_is_refused(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as conn:
        with pytest.raises(SeedError, match="call create_schema first"):
            load(conn, Population(20, 1))
        create_schema(conn)
        load(conn, Population(20, 1))
        with pytest.raises(SeedError, match="give an empty database"):
            create_schema(conn)
        with pytest.raises(SeedError, match="holds rows"):
            load(conn, Population(20, 1))


def test_the_schema_version_is_a_short_name_for_a_cache() -> None:
    assert len(SCHEMA_VERSION) == 16
    assert SCHEMA_VERSION.isalnum()
