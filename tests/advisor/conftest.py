"""A small shop that knows nothing of the lab's own schema."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from databases import own_database
from perflab.advisor.catalog import Catalog, read_catalog
from perflab.services import Postgres

SHOP = """
    CREATE TABLE customers (id bigint PRIMARY KEY, email text NOT NULL, country text NOT NULL,
                            deleted_at timestamptz);
    INSERT INTO customers SELECT n, 'user' || n || '@example.org',
        (ARRAY['de', 'fr', 'it', 'es'])[1 + n % 4],
        CASE WHEN n % 50 = 0 THEN timestamptz '2025-01-01' END FROM generate_series(1, 4000) n;
    CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers,
                         state text NOT NULL, placed_at timestamptz NOT NULL, total int NOT NULL,
                         notes jsonb NOT NULL, labels text[] NOT NULL, filler text NOT NULL);
    INSERT INTO orders SELECT n, 1 + n * 7919 % 4000,
        CASE WHEN n % 40 = 0 THEN 'open' ELSE 'done' END,
        timestamptz '2025-01-01' + n * interval '1 minute', n % 500,
        jsonb_build_object('channel', n % 300), ARRAY['l' || n % 200, 'm' || n % 3],
        repeat('x', 60)
        FROM generate_series(1, 20000) n;
    CREATE TABLE "Odd Names" ("Key" bigint, "order" int);
    INSERT INTO "Odd Names" SELECT n, n % 10 FROM generate_series(1, 3000) n;
    ANALYZE;
"""


@pytest.fixture(scope="module")
def shop(postgres: Postgres) -> Iterator[str]:
    """A database with the shop, shared by the tests of a module, which leave it as it is."""
    with own_database(postgres, "shop", SHOP) as conninfo:
        yield conninfo


@pytest.fixture(scope="module")
def catalog(shop: str) -> Catalog:
    with psycopg.connect(shop, autocommit=True) as conn:
        return read_catalog(conn)
