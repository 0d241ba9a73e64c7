from __future__ import annotations

from collections.abc import Collection, Sequence

import psycopg
import pytest

from perflab.advisor.candidates import Candidate, find_candidates
from perflab.advisor.catalog import Catalog, read_catalog
from perflab.advisor.errors import AdvisorError
from perflab.advisor.reading import uses_of
from perflab.advisor.selection import Limits, Selection, select
from perflab.advisor.sql import parse_one
from perflab.advisor.whatif import Answer, built_in_transaction, hypothetical
from perflab.advisor.workload import Statement

RECENT = Statement(
    "recent", "SELECT total FROM orders WHERE customer_id = 77 ORDER BY placed_at DESC LIMIT 5"
)
LABELLED = Statement("labelled", "SELECT id FROM orders WHERE labels @> ARRAY['l5']")
BY_KEY = Statement("by_key", "SELECT * FROM customers WHERE id = 5", calls=1e6)


def advise(
    shop: str, catalog: Catalog, *statements: Statement, limits: Limits | None = None
) -> Selection:
    uses = {s.name: uses_of(parse_one(s.text), catalog) for s in statements}
    candidates = find_candidates(uses, catalog, {s.name: s.calls for s in statements})
    there = {table.name: len(table.indexes) for table in catalog.tables}
    with built_in_transaction(shop) as what_if:
        return select(statements, candidates, what_if, limits, there)


def on(selection: Selection) -> list[str]:
    return [choice.candidate.on for choice in selection.chosen]


def test_each_statement_gets_what_it_needs_and_no_more(shop: str, catalog: Catalog) -> None:
    selection = advise(shop, catalog, RECENT, LABELLED, BY_KEY)

    assert len(selection.chosen) == 2
    assert {c.candidate.method for c in selection.chosen} == {"btree", "gin"}
    for name in ("recent", "labelled"):
        before, after = selection.by_statement[name]
        assert after < before / 2
    assert {r.reason for r in selection.rejected} <= {
        "the planner prefers another one",
        "the others do as well without it",
        "what it carries along saves too little",
        "what it saves is too little",
    }


def test_a_workload_that_needs_nothing_gets_nothing(shop: str, catalog: Catalog) -> None:
    selection = advise(shop, catalog, BY_KEY)

    assert selection.chosen == ()
    assert selection.cost_before == selection.cost_after


def test_asking_leaves_no_index_behind(shop: str, catalog: Catalog) -> None:
    advise(shop, catalog, RECENT, LABELLED)

    with psycopg.connect(shop, autocommit=True) as conn:
        assert read_catalog(conn).by_name["orders"].indexes == catalog.by_name["orders"].indexes


def test_a_limit_keeps_the_index_that_saves_most(shop: str, catalog: Catalog) -> None:
    often = Statement(LABELLED.name, LABELLED.text, calls=1_000)
    room_for_one = Limits(per_table=len(catalog.by_name["orders"].indexes) + 1)

    selection = advise(shop, catalog, RECENT, often, limits=room_for_one)

    assert on(selection) == ["USING gin (labels)"]
    assert any("no room: orders may have 2" in r.reason for r in selection.rejected)


def test_a_limit_on_size_is_kept(shop: str, catalog: Catalog) -> None:
    free = advise(shop, catalog, RECENT, LABELLED)
    largest = max(choice.size_bytes for choice in free.chosen)

    selection = advise(shop, catalog, RECENT, LABELLED, limits=Limits(total_bytes=largest))

    assert len(selection.chosen) == 1
    assert selection.chosen[0].size_bytes <= largest


def test_an_expression_that_cannot_be_indexed_is_rejected_with_the_servers_words(
    shop: str, catalog: Catalog
) -> None:
    text = "SELECT * FROM orders WHERE date_trunc('day', placed_at) = '2025-01-03'"

    selection = advise(shop, catalog, Statement("daily", text))

    assert selection.chosen == ()
    assert any("IMMUTABLE" in r.reason for r in selection.rejected)


def test_an_expressions_values_are_known_to_the_planner(shop: str) -> None:
    """Without statistics it would expect one row in two hundred, 20 of 4,000."""
    text = "SELECT id FROM customers WHERE lower(email) = 'user7@example.org'"
    with built_in_transaction(shop) as what_if:
        answer = what_if.ask([text], [Candidate("customers", ("lower(email)",))], ["customers"])

    assert answer.used
    assert answer.cost < 10


def test_without_hypopg_one_line_says_what_to_do(shop: str) -> None:
    with (
        psycopg.connect(shop, autocommit=True) as conn,
        pytest.raises(AdvisorError, match="CREATE EXTENSION hypopg"),
        hypothetical(conn),
    ):
        pass


class Table:
    """A WhatIf out of a table of costs: the cheapest active index of a statement is used."""

    def __init__(self, base: float, costs: dict[Candidate, float]) -> None:
        self.size_bytes = dict.fromkeys(costs, 8192)
        self.rejected: dict[Candidate, str] = {}
        self._base, self._costs = base, costs

    def ask(
        self, examples: Sequence[str], active: Collection[Candidate], tables: Collection[str]
    ) -> Answer:
        best = min(
            (c for c in active if c in self._costs), key=self._costs.__getitem__, default=None
        )
        if best is None or self._costs[best] >= self._base:
            return Answer(self._base, frozenset())
        return Answer(self._costs[best], frozenset([best]))


A, B = Candidate("t", ("a",)), Candidate("t", ("a", "b"))
WIDE = Candidate("t", ("a",), include=("b",))


@pytest.mark.parametrize(
    ("costs", "chosen"),
    [
        ({A: 50.0}, [A]),
        ({A: 999.5}, []),  # saves a two-thousandth
        ({A: 50.0, B: 49.0}, [B]),
        ({A: 50.0, WIDE: 48.0}, [A]),  # what rides along saves next to nothing
        ({A: 50.0, WIDE: 20.0}, [WIDE]),
    ],
)
def test_an_index_stays_only_where_it_earns_its_keep(
    costs: dict[Candidate, float], chosen: list[Candidate]
) -> None:
    statements = [Statement("s", "SELECT 1"), Statement("other", "SELECT 2", calls=9.0)]
    candidates = dict.fromkeys(costs, ("s",))

    class Apart(Table):
        def ask(
            self, examples: Sequence[str], active: Collection[Candidate], tables: Collection[str]
        ) -> Answer:
            if examples == ("SELECT 2",):
                return Answer(1_000.0, frozenset())
            return super().ask(examples, active, tables)

    selection = select(statements, candidates, Apart(1_000.0, costs))

    assert [choice.candidate for choice in selection.chosen] == chosen


def test_what_rides_along_goes_first_where_there_is_no_room() -> None:
    costs = {A: 50.0, WIDE: 20.0}
    what_if = Table(1_000.0, costs)
    what_if.size_bytes = {A: 50, WIDE: 100}

    selection = select(
        [Statement("s", "SELECT 1")],
        dict.fromkeys(costs, ("s",)),
        what_if,
        Limits(total_bytes=60),
    )

    assert [choice.candidate for choice in selection.chosen] == [A]
    assert [(r.candidate, r.reason) for r in selection.rejected] == [
        (WIDE, "no room: the limit on size")
    ]


def test_a_statement_that_is_quick_enough_gets_no_index() -> None:
    selection = select([Statement("s", "SELECT 1")], {A: ("s",)}, Table(9.0, {A: 1.0}))

    assert selection.chosen == ()
