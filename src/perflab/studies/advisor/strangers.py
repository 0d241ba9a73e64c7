"""Advice for schemas that the advisor was not written for: pgbench's without keys, and a star.

The third needs nothing: its statements ask for rows by keys that are there.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from perflab.advisor.advice import advise
from perflab.advisor.catalog import read_catalog
from perflab.advisor.proof import Proof, build_chosen, prove
from perflab.advisor.timed import timed_statement
from perflab.advisor.whatif import built_in_transaction
from perflab.advisor.workload import parse_workload
from perflab.datasets import Datasets
from perflab.measure.comparison import compare
from perflab.measure.metrics import reduction_percent
from perflab.measure.statistics import Estimate, NotEstimable
from perflab.profiles import AdvisorSizes
from perflab.progress import Step

LEAST_REDUCTION_PERCENT = 80.0
"""Less time that the advice must give where there is something to gain."""

PGBENCH = """
    CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88));
    CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84));
    CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84));
    CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp,
                                  filler char(22));
    INSERT INTO pgbench_branches VALUES (1, 0, '');
    INSERT INTO pgbench_tellers SELECT n, 1, 0, '' FROM generate_series(1, 10) n;
    INSERT INTO pgbench_accounts SELECT n, 1, 0, '' FROM generate_series(1, 100000) n;
"""
"""What ``pgbench -i -s 1`` makes, but for its primary keys."""
PGBENCH_SQL = """
    -- name: update_account
    UPDATE pgbench_accounts SET abalance = abalance + 5 WHERE aid = 777;
    -- name: read_balance
    SELECT abalance FROM pgbench_accounts WHERE aid = 47110;
    -- name: update_teller
    UPDATE pgbench_tellers SET tbalance = tbalance + 5 WHERE tid = 3;
    -- name: update_branch
    UPDATE pgbench_branches SET bbalance = bbalance + 5 WHERE bid = 1;
    -- name: log
    INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (3, 1, 777, 5, now());
"""
"""The statements of its TPC-B-like transaction."""

STAR = """
    CREATE TABLE dates (date_id int PRIMARY KEY, year int, month int);
    CREATE TABLE stores (store_id int PRIMARY KEY, city text);
    CREATE TABLE products (product_id int PRIMARY KEY, brand text);
    CREATE TABLE sales (date_id int, store_id int, product_id int, amount int, pad text);
    INSERT INTO dates SELECT n, 2000 + n / 365, 1 + n / 30 % 12 FROM generate_series(1, 1000) n;
    INSERT INTO stores SELECT n, 'city ' || n FROM generate_series(1, 400) n;
    INSERT INTO products SELECT n, 'brand ' || n / 2 FROM generate_series(1, 1000) n;
    INSERT INTO sales SELECT 1 + n % 1000, 1 + n * 31 % 400, 1 + n * 17 % 1000, n, repeat('x', 80)
        FROM generate_series(1, 60000) n;
"""
STAR_SQL = """
    -- name: brand_by_year
    SELECT d.year, sum(s.amount) FROM sales s JOIN dates d USING (date_id)
        JOIN products p ON p.product_id = s.product_id WHERE p.brand = 'brand 7' GROUP BY d.year;
    -- name: product_in_city
    SELECT sum(amount) FROM sales JOIN stores ON stores.store_id = sales.store_id
        WHERE city = 'city 5' AND sales.product_id = 8;
"""
KEYS_SQL = """
    -- name: store
    SELECT * FROM stores WHERE store_id = 3;
    -- name: year
    SELECT year FROM dates WHERE date_id = 9;
    -- name: brands
    SELECT p.brand FROM products p WHERE p.product_id IN (5, 17, 99);
"""
STRANGERS = (
    ("pgbench_without_keys", PGBENCH, PGBENCH_SQL),
    ("star_join", STAR, STAR_SQL),
    ("needs_nothing", STAR, KEYS_SQL),
)


@dataclass(frozen=True)
class Met:
    """What the advisor made of one schema."""

    name: str
    statements: int
    candidates: int
    ddl: tuple[str, ...]
    """The indexes that were proved."""
    reduction_percent: Estimate
    """Of the time of all statements together, measured."""

    @property
    def needs_something(self) -> bool:
        """Whether there is anything to gain."""
        return self.name != "needs_nothing"


def meet_strangers(
    datasets: Datasets, sizes: AdvisorSizes, seed: int, step: Step | None = None
) -> tuple[Met, ...]:
    """Advise on each, build the advice on a copy and measure it there."""
    made: dict[str, str] = {}
    found = []
    for name, script, text in STRANGERS:
        if script not in made:
            made[script] = _make(datasets, name, script)
        found.append(_meet(datasets, made[script], name, text, sizes, seed, step))
    return tuple(found)


def _make(datasets: Datasets, name: str, script: str) -> str:
    conninfo = datasets.empty(f"advisor_{name}")
    with psycopg.connect(conninfo, autocommit=True) as conn:
        conn.execute(script.encode())
        conn.execute("VACUUM (ANALYZE)")
    return conninfo


def _meet(
    datasets: Datasets,
    before: str,
    name: str,
    text: str,
    sizes: AdvisorSizes,
    seed: int,
    step: Step | None,
) -> Met:
    with psycopg.connect(before, autocommit=True) as conn:
        catalog = read_catalog(conn)
    statements = parse_workload(text).statements
    with built_in_transaction(before) as what_if:
        advice = advise(statements, catalog, what_if)
    proof: Proof | None = None
    if advice.selection.chosen:
        after = datasets.copy(before, f"advisor_{name}_advised")
        report = build_chosen(after, advice.selection)
        timed = [one for s in statements if (one := timed_statement(s))]
        proof = prove(
            before, after, timed, statements, advice.selection, report, catalog, sizes, seed, step
        )
    return Met(
        name=name,
        statements=len(statements),
        candidates=advice.candidates,
        ddl=tuple(one.choice.candidate.spec().ddl for one in proof.kept) if proof else (),
        reduction_percent=reduction_percent(compare(proof.samples).mean)
        if proof
        else NotEstimable("nothing was built"),
    )
