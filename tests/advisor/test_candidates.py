from __future__ import annotations

from collections.abc import Mapping

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perflab.advisor.candidates import Candidate, find_candidates
from perflab.advisor.catalog import Catalog, ColumnFacts, IndexFacts, TableFacts, read_catalog
from perflab.advisor.reading import uses_of
from perflab.advisor.sql import parse_one
from perflab.advisor.usage import Fixed, SortKey, TableUse
from perflab.advisor.whatif import built_in_transaction


def found(catalog: Catalog, **statements: str) -> dict[str, Candidate]:
    """Candidates by what they are on."""
    uses = {name: uses_of(parse_one(text), catalog) for name, text in statements.items()}
    candidates = find_candidates(uses, catalog, dict.fromkeys(statements, 1.0))
    return {f"{c.table} {c.on}": c for c in candidates}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT * FROM orders WHERE placed_at > $1 AND customer_id = $2",
            "orders (customer_id, placed_at)",
        ),
        (
            "SELECT * FROM orders o WHERE customer_id = $1 ORDER BY placed_at DESC, id DESC",
            "orders (customer_id, placed_at, id)",
        ),
        (
            "SELECT * FROM orders WHERE customer_id = $1 ORDER BY placed_at DESC, id",
            "orders (customer_id, placed_at DESC, id)",
        ),
        (
            "SELECT total FROM orders WHERE customer_id = $1 AND placed_at BETWEEN $2 AND $3",
            "orders (customer_id, placed_at) INCLUDE (total)",
        ),
        (
            "SELECT id FROM orders WHERE state = 'open' AND placed_at < $1",
            "orders (placed_at) WHERE state = 'open'",
        ),
        (
            "SELECT * FROM customers WHERE country = $1 AND deleted_at < $2",
            "customers (country, deleted_at) WHERE deleted_at IS NOT NULL",
        ),
        ("SELECT * FROM customers WHERE lower(email) = $1", "customers (lower(email))"),
        (
            "SELECT * FROM customers WHERE email LIKE $1",
            "customers (email text_pattern_ops)",
        ),
        ("SELECT * FROM orders WHERE labels @> $1", "orders USING gin (labels)"),
        (
            "SELECT * FROM orders WHERE notes @> $1",
            "orders USING gin (notes jsonb_path_ops)",
        ),
        (
            "SELECT * FROM orders WHERE notes ->> 'channel' = $1",
            "orders ((notes ->> 'channel'))",
        ),
        (
            "SELECT count(*) FROM orders WHERE placed_at > $1",
            "orders USING brin (placed_at) WITH (pages_per_range = 3)",
        ),
        (
            "SELECT c.email, o.total FROM customers c JOIN orders o ON o.customer_id = c.id"
            " WHERE c.id = $1 AND o.placed_at > $2",
            "orders (customer_id, placed_at)",
        ),
        (
            "SELECT 1 FROM customers c WHERE EXISTS"
            " (SELECT FROM orders o WHERE o.customer_id = c.id AND o.state = $1)",
            "orders (customer_id, state)",
        ),
        (
            "SELECT 1 FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE email = $1)",
            "customers (email)",
        ),
        (
            "WITH dear AS (SELECT * FROM orders WHERE total = $1) SELECT * FROM dear WHERE id = 1",
            "orders (total)",
        ),
        (
            "SELECT * FROM orders WHERE (placed_at, id) > ($1, $2) ORDER BY placed_at, id",
            "orders (placed_at, id)",
        ),
        ("SELECT * FROM orders WHERE total = $1 OR customer_id = $2", "orders (total)"),
        ("UPDATE orders SET state = 'done' WHERE customer_id = $1", "orders (customer_id)"),
        (
            "DELETE FROM orders USING customers c WHERE customer_id = c.id AND c.country = $1",
            "orders (customer_id)",
        ),
        ('SELECT "order" FROM "Odd Names" WHERE "Key" = $1', '"Odd Names" ("Key")'),
        ("SELECT * FROM orders WHERE total = ANY($1)", "orders (total)"),
    ],
)
def test_a_statement_gets_the_index_that_fits_it(
    catalog: Catalog, text: str, expected: str
) -> None:
    assert expected in found(catalog, statement=text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM customers WHERE id = $1",
        "SELECT * FROM orders WHERE id = $1 AND state = $2",
        "SELECT * FROM recent_orders WHERE customer = $1",
        "SELECT 1",
        "SELECT count(*) FROM orders WHERE filler LIKE '%x'",
        "INSERT INTO orders SELECT * FROM orders",
        "WITH orders AS (SELECT 1 AS customer_id) SELECT * FROM orders WHERE customer_id = $1",
    ],
)
def test_nothing_is_made_for_what_no_index_helps(catalog: Catalog, text: str) -> None:
    assert not found(catalog, statement=text)


def test_a_condition_that_holds_for_most_rows_makes_no_partial_index(catalog: Catalog) -> None:
    rare = found(catalog, s="SELECT id FROM orders WHERE state = 'open' AND customer_id = $1")
    common = found(catalog, s="SELECT id FROM orders WHERE state = 'done' AND customer_id = $1")

    assert any("WHERE" in on for on in rare)
    assert not any("WHERE" in on for on in common)


def test_a_value_that_differs_from_call_to_call_makes_no_partial_index(catalog: Catalog) -> None:
    assert not any(
        "WHERE" in on for on in found(catalog, s="SELECT 1 FROM orders WHERE state = $1")
    )


@pytest.mark.parametrize(("distinct", "partial"), [(100.0, True), (5_000.0, False)])
def test_only_a_value_among_few_makes_a_partial_index(distinct: float, partial: bool) -> None:
    owner = ColumnFacts("owner", "bigint", distinct=distinct, common={"7": 0.02})
    tables = (TableFacts("t", "public", "t", 1e6, 10_000, (owner, ColumnFacts("at", "date"))),)

    candidates = found(Catalog(tables), s="SELECT at FROM t WHERE owner = 7 ORDER BY at")

    assert any("WHERE owner = 7" in on for on in candidates) is partial


def test_columns_that_most_calls_name_come_first(catalog: Catalog) -> None:
    both = "SELECT * FROM orders WHERE state = $1 AND total = $2"
    uses = {
        "both": uses_of(parse_one(both), catalog),
        "state": uses_of(parse_one("SELECT * FROM orders WHERE state = $1"), catalog),
    }

    often = find_candidates(uses, catalog, {"both": 1, "state": 100})
    alone = find_candidates({"both": uses["both"]}, catalog, {"both": 1})

    assert ("state", "total") in {c.keys for c in often}
    assert ("total", "state") in {c.keys for c in alone}  # the more selective one


def test_every_candidate_can_be_built(shop: str, catalog: Catalog) -> None:
    candidates = found(
        catalog,
        a="SELECT total FROM orders WHERE state = 'open' AND customer_id = $1 AND placed_at > $2",
        b="SELECT * FROM orders WHERE notes ->> 'channel' = $1 ORDER BY total DESC, id",
        c="SELECT * FROM orders WHERE labels && $1 OR notes ? $2",
        d="SELECT email FROM customers WHERE lower(email) LIKE $1 AND deleted_at IS NULL",
        e='SELECT * FROM "Odd Names" WHERE "Key" = $1 AND "order" > $2',
        f="SELECT id FROM orders WHERE filler = $1",
    )
    with psycopg.connect(shop) as conn:
        for candidate in candidates.values():
            conn.execute(candidate.spec().create_sql(concurrently=False).encode())
        built = conn.execute("SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'idx_%'")
        assert built.fetchone() == (len(candidates),)
        conn.rollback()


def test_a_pattern_within_a_text_gets_trigrams_where_the_extension_is(database: str) -> None:
    """A tsvector gets GIN anywhere; both are built, and the planner uses them."""
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "CREATE EXTENSION pg_trgm; CREATE TABLE docs (id int, body text, words tsvector);"
            "INSERT INTO docs SELECT n, md5(n::text), to_tsvector('simple', md5(n::text))"
            " FROM generate_series(1, 5000) n; ANALYZE docs"
        )
        catalog = read_catalog(conn)
        candidates = found(
            catalog,
            within="SELECT id FROM docs WHERE body LIKE '%beef%'",
            insensitive="SELECT id FROM docs WHERE body ILIKE 'Beef%'",
            words="SELECT id FROM docs WHERE words @@ to_tsquery('simple', 'beef')",
        )
        assert set(candidates) == {
            "docs USING gin (body gin_trgm_ops)", "docs USING gin (words)"
        }  # fmt: skip
        with built_in_transaction(database) as what_if:
            for candidate, condition in (
                (Candidate("docs", ("body gin_trgm_ops",), "gin"), "body LIKE '%beef1%'"),
                (Candidate("docs", ("words",), "gin"), "words @@ to_tsquery('simple', 'beef')"),
            ):
                text = f"SELECT id FROM docs WHERE {condition}"
                assert what_if.ask([text], [candidate], ["docs"]).used == {candidate}


# --- properties -------------------------------------------------------------------------

COLUMNS = ("a", "b", "c", "d", "e", "f")
columns = st.lists(st.sampled_from(COLUMNS), unique=True, max_size=3).map(tuple)
uses = st.builds(
    TableUse,
    table=st.just("t"),
    equal=columns,
    joined=columns,
    ranges=columns,
    fixed=st.lists(
        st.sampled_from(COLUMNS).map(lambda c: Fixed(c, f"{c} IS NULL", null=True)), max_size=2
    ).map(tuple),
    order=st.lists(
        st.builds(SortKey, st.sampled_from(COLUMNS), st.booleans()),
        unique_by=lambda key: key.column,
        max_size=3,
    ).map(tuple),
    columns=columns,
)
workloads = st.dictionaries(st.sampled_from("uvwxyz"), uses, min_size=1, max_size=4)


def table(*indexes: IndexFacts) -> Catalog:
    facts = tuple(
        ColumnFacts(c, "bigint", distinct=10.0**n, null_share=0.6) for n, c in enumerate(COLUMNS)
    )
    return Catalog((TableFacts("t", "public", "t", 1e6, 10_000, facts, indexes),))


def candidates(
    workload: Mapping[str, TableUse], catalog: Catalog
) -> dict[Candidate, tuple[str, ...]]:
    return find_candidates({name: (use,) for name, use in workload.items()}, catalog, {})


def column_of(key: str) -> str:
    return key.split(" ")[0]


@settings(max_examples=50)
@given(workloads)
def test_equality_comes_first_and_no_column_twice(workload: dict[str, TableUse]) -> None:
    for candidate, served in candidates(workload, table()).items():
        keys = [column_of(key) for key in candidate.keys]
        assert len({*keys, *candidate.include}) == len(keys) + len(candidate.include)
        for name in served if candidate.method == "btree" else ():
            use = workload[name]
            known = {*use.equal, *use.joined}
            first_other = next((n for n, key in enumerate(keys) if key not in known), len(keys))
            assert not {*use.equal} & {*keys[first_other:]}


@settings(max_examples=50)
@given(workloads)
def test_names_are_short_and_never_shared(workload: dict[str, TableUse]) -> None:
    made = candidates(workload, table())
    names = {candidate.name for candidate in made}
    assert len(names) == len(made)
    assert all(len(name) <= 63 for name in names)


@settings(max_examples=50)
@given(workloads)
def test_each_candidate_serves_a_statement_that_asks_for_it(workload: dict[str, TableUse]) -> None:
    whole = candidates(workload, table())
    served = {name for names in whole.values() for name in names}
    assert served <= set(workload)
    assert list(candidates(dict(reversed(workload.items())), table())) == list(whole)


@settings(max_examples=50)
@given(workloads, st.data())
def test_what_an_index_does_already_is_not_proposed(
    workload: dict[str, TableUse], data: st.DataObject
) -> None:
    made = [c for c in candidates(workload, table()) if c.method == "btree" and not c.where]
    if not made:
        return
    one = data.draw(st.sampled_from(made))
    there = IndexFacts("there", "btree", (*one.keys, "g"), include=one.include)

    assert one not in candidates(workload, table(there))
