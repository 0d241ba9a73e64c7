"""A small data set made to be wrong: columns that depend on each other, old statistics, dead rows.

A parcel service. A postcode lies in one town and one region, which nothing tells the planner.
``scans`` and ``complaints`` were analysed before their last days were loaded, and every row of
``jobs`` was rewritten twice. Autovacuum is off for these three, or it would mend them before
anybody looks.
"""

from __future__ import annotations

import psycopg

from perflab.advisor.workload import Statement
from perflab.datasets import Datasets

LABEL = "advisor_parcels"
_FLUSH = 150000
"""The first server version that can be told to write its counters down at once."""

_PICKUPS = """
    SELECT count(*), sum(p.grams) FROM parcels p JOIN pickups k ON k.depot = p.depot
    WHERE p.region = 'region-{1}' AND p.town = 'town-{0}' AND p.postcode = 'post-{0}'
      AND k.region = 'region-{1}' AND k.town = 'town-{0}' AND k.postcode = 'post-{0}'
"""
_COMPLAINTS = """
    SELECT count(*) FROM scans s JOIN complaints c ON c.parcel = s.parcel
    WHERE s.day = '2025-03-{0}' AND c.day = '2025-03-{0}'
"""
_ANALYSED = """
    CREATE TABLE parcels (id int PRIMARY KEY, region text NOT NULL, town text NOT NULL,
                          postcode text NOT NULL, depot int NOT NULL, grams int NOT NULL);
    INSERT INTO parcels SELECT n, 'region-' || n % 20 % 10, 'town-' || n % 20, 'post-' || n % 20,
        n % 131, n * 31 % 5000 FROM generate_series(1, 2400) n;
    CREATE TABLE pickups (id int PRIMARY KEY, region text NOT NULL, town text NOT NULL,
                          postcode text NOT NULL, depot int NOT NULL, stop int NOT NULL);
    INSERT INTO pickups SELECT n, 'region-' || n % 20 % 10, 'town-' || n % 20, 'post-' || n % 20,
        n % 137, n % 40 FROM generate_series(1, 2400) n;
    CREATE TABLE scans (parcel int NOT NULL, day date NOT NULL) WITH (autovacuum_enabled = off);
    CREATE TABLE complaints (parcel int NOT NULL, day date NOT NULL)
        WITH (autovacuum_enabled = off);
    CREATE TABLE jobs (id int PRIMARY KEY, state text NOT NULL, tries int NOT NULL)
        WITH (autovacuum_enabled = off);
    INSERT INTO jobs SELECT n, CASE WHEN n % 5 = 0 THEN 'open' ELSE 'done' END, 0
        FROM generate_series(1, 12000) n;
    CREATE INDEX jobs_state ON jobs (state);
"""
_DAYS = """
    INSERT INTO scans SELECT n, date '2025-03-01' + n / 120 FROM generate_series({0}, {1}) n;
    INSERT INTO complaints SELECT n * 7 % 2400, date '2025-03-01' + n / 120
        FROM generate_series({0}, {1}) n;
"""

STATEMENTS = (
    Statement(
        "pickups_of_a_postcode",
        _PICKUPS.format(3, 3),
        examples=tuple(_PICKUPS.format(n, n % 10) for n in (3, 11, 18)),
    ),
    Statement(
        "complaints_of_a_day",
        _COMPLAINTS.format(12),
        examples=tuple(_COMPLAINTS.format(day) for day in (12, 15, 18)),
    ),
    Statement("open_jobs", "SELECT count(*) FROM jobs WHERE state = 'open'"),
)


def make_parcels(datasets: Datasets) -> str:
    """The database, made anew; returns its conninfo. Takes about half a second."""
    conninfo = datasets.empty(LABEL)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(_ANALYSED)
        conn.execute(_DAYS.format(0, 1199).encode())
        _flush(conn)
        conn.execute("ANALYZE")
        conn.execute(_DAYS.format(1200, 2399).encode())
        for _ in range(2):
            conn.execute("UPDATE jobs SET tries = tries + 1")
        _flush(conn)
    return conninfo


def _flush(conn: psycopg.Connection) -> None:
    """Have this session's counters written down now, where the server can be told to."""
    if conn.info.server_version >= _FLUSH:
        conn.execute("SELECT pg_stat_force_next_flush()")
