"""A small seeded database with two users who can log in, cloned for each test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import psycopg
import pytest

from perflab.api.credentials import set_password
from perflab.api.settings import ApiSettings
from perflab.database.index_builder import build_indexes
from perflab.schema.population import Population
from perflab.schema.seed import create_schema, finish, load
from perflab.services import Postgres, Redis

from .support import PASSWORD, POPULATION_USERS, create_database, drop_database, settings_for


@dataclass(frozen=True)
class Template:
    """The loaded database, and who can log in."""

    name: str
    ada: int
    ada_email: str
    bob: int
    bob_email: str


@dataclass(frozen=True)
class World:
    """One test's database and the settings of an API on it."""

    conninfo: str
    settings: ApiSettings
    ada: int
    ada_email: str
    bob: int
    bob_email: str


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> Iterator[Template]:
    name = f"test_api_{secrets.token_hex(4)}"
    create_database(postgres.conninfo(), name)
    conninfo = postgres.conninfo(name)
    population = Population(users=POPULATION_USERS, seed=7)
    with psycopg.connect(conninfo, autocommit=True) as conn:
        create_schema(conn)
        load(conn, population)
        finish(conn, checkpoint=False)
    assert not build_indexes(conninfo).failed
    ada, bob = (int(user) for user in population.rank_to_user(np.array([0, 5])))
    emails = [set_password(conninfo, user, PASSWORD) for user in (ada, bob)]
    yield Template(name, ada, emails[0], bob, emails[1])
    drop_database(postgres.conninfo(), name)


@pytest.fixture
def world(postgres: Postgres, redis_server: Redis, template: Template) -> Iterator[World]:
    name = f"test_api_{secrets.token_hex(4)}"
    create_database(postgres.conninfo(), name, template.name)
    conninfo = postgres.conninfo(name)
    yield World(
        conninfo,
        settings_for(conninfo, redis_server.url()),
        template.ada,
        template.ada_email,
        template.bob,
        template.bob_email,
    )
    drop_database(postgres.conninfo(), name)
