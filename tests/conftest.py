"""Real servers for the tests: started once a session, a fresh database for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from perflab.services import Postgres, PostgresSettings, Redis, Services, open_services


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    with open_services("embedded", settings=PostgresSettings(shared_buffers_mb=256)) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres(services: Services) -> Postgres:
    return services.postgres


@pytest.fixture(scope="session")
def redis_server(services: Services) -> Redis:
    return services.redis


@pytest.fixture(scope="module")
def own_services() -> Iterator[Services]:
    """Servers of one test module, to restart, kill and break."""
    with open_services("embedded", settings=PostgresSettings(shared_buffers_mb=32)) as opened:
        yield opened


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """The conninfo of an empty database that only this test uses."""
    name = f"test_{secrets.token_hex(4)}"
    with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    try:
        yield postgres.conninfo(name)
    finally:
        with psycopg.connect(postgres.conninfo(), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
