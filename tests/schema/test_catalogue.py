"""The catalogue and the workload refer to each other without loose ends."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from perflab.errors import ParameterError
from perflab.schema.indexes import CATALOGUE, select_indexes
from perflab.schema.population import Population
from perflab.schema.queries import PLAN_CATEGORIES, QUERIES, Query, find_query
from perflab.schema.tables import metadata

BY_NAME = {spec.name: spec for spec in CATALOGUE}


def test_there_are_at_least_twenty_indexes_of_many_kinds() -> None:
    assert len(CATALOGUE) >= 20
    assert len(BY_NAME) == len(CATALOGUE)
    assert {"btree", "covering", "partial", "expression", "gin", "brin", "sort"} <= {
        spec.kind for spec in CATALOGUE
    }


def test_the_plans_four_are_there_word_for_word() -> None:
    assert {(spec.table, spec.on) for spec in CATALOGUE if spec.claim_plan} == {
        ("tasks", "(user_id, status)"),
        ("tasks", "(user_id, due_date)"),
        ("notes", "USING gin (tags)"),
        ("habit_entries", "(habit_id, entry_date)"),
    }


def test_every_index_has_a_query_that_names_it_and_a_reason() -> None:
    for spec in CATALOGUE:
        assert spec.name in find_query(spec.serves).index, spec.name
        assert spec.table in metadata.tables
        assert len(spec.why) > 30


def test_queries_name_only_indexes_of_the_catalogue_and_one_has_none() -> None:
    assert {name for query in QUERIES for name in query.index} == set(BY_NAME)
    assert [query.name for query in QUERIES if not query.index] == ["workload_report"]


def test_the_plans_categories_have_at_least_four_queries_each() -> None:
    counts = Counter(query.category for query in QUERIES)
    assert all(counts[category] >= 4 for category in PLAN_CATEGORIES)
    assert len(QUERIES) >= 20
    assert len({query.name for query in QUERIES}) == len(QUERIES)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_what_is_drawn_is_what_the_statement_takes(query: Query) -> None:
    population = Population(300, 1)
    rng = np.random.default_rng(4)
    placeholders = set(re.findall(r"%\((\w+)\)s", query.sql))
    for _ in range(20):
        assert set(query.draw(rng, population).params) == placeholders


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_the_same_seed_draws_the_same_parameters(query: Query) -> None:
    population = Population(300, 1)
    one, other = np.random.default_rng(6), np.random.default_rng(6)
    for _ in range(5):
        assert query.draw(one, population) == query.draw(other, population)


def test_most_queries_are_asked_at_three_selectivities() -> None:
    population = Population(5_000, 1)
    rng = np.random.default_rng(2)
    full = [
        query.name
        for query in QUERIES
        if len({query.draw(rng, population).selectivity for _ in range(200)}) == 3
    ]
    assert len(full) >= 20


def test_no_statement_reads_the_servers_clock() -> None:
    assert not [q.name for q in QUERIES if re.search(r"now\(\)|current_", q.sql, re.IGNORECASE)]


def test_indexes_can_be_left_out_by_name() -> None:
    left = select_indexes(["idx_notes_tags", "idx_tasks_created"])
    assert len(left) == len(CATALOGUE) - 2
    with pytest.raises(ParameterError, match="'idx_typo' is not in the catalogue"):
        select_indexes(["idx_typo"])


def test_an_unknown_query_is_refused_by_name() -> None:
    with pytest.raises(ParameterError, match="'tasks_lost' is unknown"):
        find_query("tasks_lost")
