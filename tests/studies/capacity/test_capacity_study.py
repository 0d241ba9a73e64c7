"""The capacity study on real servers: every load is answered, and the counters are the server's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec
import numpy as np
import psycopg
import pytest
import redis
from capacity_study import load_of, some_sizes

from perflab.capacity.queues import People
from perflab.capacity.scalability import NotFitted
from perflab.schema.indexes import CATALOGUE
from perflab.services import Services
from perflab.studies.api.ceiling import Served
from perflab.studies.api.loads import Load
from perflab.studies.api.parts import FULL, NO_CACHE
from perflab.studies.api.site import StudyError
from perflab.studies.capacity import attribution, crowds
from perflab.studies.capacity import steps as steps_module
from perflab.studies.capacity import stores as stores_module
from perflab.studies.capacity.attribution import Counts, counts_of
from perflab.studies.capacity.crowds import gather
from perflab.studies.capacity.held_back import HeldBack
from perflab.studies.capacity.ladder import put_closed
from perflab.studies.capacity.opened import NEITHER, Stack, open_stack, turn_takers
from perflab.studies.capacity.rounds import climb
from perflab.studies.capacity.steps import SHARES, climb_open
from perflab.studies.capacity.stores import Stores
from perflab.studies.capacity.views.loads import crowds_table
from small_lab import SmallLab

SIZES = some_sizes(identities=30, loads=[1, 4], load_s=0.15, step_s=0.15, people=[20])
ANSWERED = 5


@pytest.fixture(scope="module")
def stack(services: Services) -> Iterator[Stack]:
    lab = SmallLab(services)
    with lab.closing:
        yield open_stack(lab, SIZES)


def test_everybody_sends_every_kind_of_request_in_its_order(stack: Stack) -> None:
    assert stack.people == 21, "30 would give each user one kind for ever"
    some = [len(turn_takers(stack.site.people[:n])) for n in (0, 1, 10, 11, 20, 21)]
    assert some == [0, 1, 1, 11, 11, 21]
    kinds = [
        (request.method, request.target.split("?")[0].rstrip("0123456789"))
        for request in stack.full.traffic.take(21 * 10)[::21]
    ]
    page, one = ("GET", "/tasks"), ("GET", "/tasks/")
    assert sorted(kinds) == sorted(
        [page] * 6 + [one] * 2 + [("POST", "/tasks"), ("PATCH", "/tasks/")]
    )
    write = kinds.index(("POST", "/tasks"))
    assert kinds[(write + 1) % 10] == ("PATCH", "/tasks/"), "both writes, then eight reads"


def test_the_arms_differ_by_cache_and_indexes_and_answer_alike(stack: Stack) -> None:
    rungs = {name: put_closed(arm, 4, 0.15) for name, arm in stack.arms.items()}
    assert [rung.others for rung in rungs.values()] == [0, 0, 0]
    assert all(len(rung.good) > ANSWERED for rung in rungs.values())
    assert rungs[FULL].found.hit_ratio > 0.3
    assert not rungs[NO_CACHE].found.counts.hits
    assert not rungs[NEITHER].found.counts.hits
    assert rungs[NO_CACHE].found.counts.checkouts > rungs[FULL].found.counts.checkouts / 4
    with psycopg.connect(stack.site.conninfo) as conn:
        built = conn.execute("SELECT indexname FROM pg_indexes WHERE schemaname = 'public'")
        names = {row[0] for row in built.fetchall()}
    assert {index.name for index in CATALOGUE} <= names


def test_closed_and_open_loads_are_put_on_and_attributed(stack: Stack) -> None:
    told: list[str] = []
    ladder, held_back = climb(
        stack.full,
        msgspec.structs.replace(SIZES, repetitions=2),
        1,
        lambda what, _done, _total: told.append(what),
    )
    assert ladder.users == (1, 4)
    assert [len(ladder.at(users)) for users in ladder.users] == [2, 2]
    assert isinstance(ladder.fitted, NotFitted)
    assert ladder.peak[1] > 0
    assert isinstance(held_back, HeldBack)
    assert not {seen.load for seen in held_back.closed} & set(ladder.users), "not fitted to"
    assert len(held_back.opened) == len(held_back.closed) == 2
    assert len(told) == 2 * (2 + 2)
    first = {"round 1, arrivals held back", "round 1, users held back"}
    assert set(told[2:4]) == first, "chosen by the first round's rungs"
    one, other = (seen.due_s for seen in held_back.opened)
    assert one is not None
    assert other is not None
    assert one.tolist() != other.tolist(), "each round has a schedule of its own"
    steps = climb_open(stack.full, 100.0, 100.0, 0.15, 1)
    assert steps[0].rate_rps == 50.0
    assert steps[0].load.reading.samples.window_s > 0.3, "four times the promise, less a last gap"
    assert [step.rate_rps for step in steps] == sorted(step.rate_rps for step in steps)
    for found in [step.found for step in steps] + [rung.found for rung in ladder.rungs]:
        assert found.counts.lookups > 0
        assert found.stores.statements > 0
        assert 0 < found.stores.postgres_s < 5
        assert 0 < found.redis_ms < 5
    assert sum(rung.found.counts.ticks for rung in ladder.rungs) > 0


def test_a_step_that_fails_is_put_on_once_more_before_it_counts(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    took_ms = iter([500.0, 20.0, 20.0, 500.0, 500.0])

    def put(_served: Served, _traffic: object, rate: float, _s: float, _seed: int) -> Load:
        return load_of(rate, np.full(200, next(took_ms) / 1e3))

    monkeypatch.setattr(steps_module, "put_load", put)
    found = climb_open(stack.full, 1_000.0, 100.0, 0.1, 1)
    assert [one.holds for one in found] == [True, True, False]
    assert found[-1].rate_rps == 1_000.0 * SHARES[2]


def test_stores_count_one_databases_statements_and_no_command_twice(
    stack: Stack, services: Services
) -> None:
    stores, elsewhere = stack.full.stores, stack.arms[NEITHER].stores
    before, other = stores.read(), elsewhere.read()
    with psycopg.connect(stack.site.conninfo) as conn:
        conn.execute("SELECT pg_sleep(0.05)")
    client = redis.Redis.from_url(services.redis.url())
    script = "for i = 1, 30000 do redis.call('SET', KEYS[1], i) end"
    began = time.perf_counter()
    client.eval(script, 1, "perflab-test-commands")
    took_s = time.perf_counter() - began
    client.delete("perflab-test-commands")
    client.close()
    grown = stores.read() - before
    assert 0.05 <= grown.postgres_s < 0.5
    assert (elsewhere.read() - other).postgres_s < 0.05
    assert 0.3 * took_s < grown.redis_s <= took_s


def test_a_server_without_statistics_of_statements_is_left_out_and_no_error(
    stack: Stack, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores_module, "_EXTENSION", "CREATE EXTENSION no_such_extension")
    asked = Stores(stack.site.conninfo, services.redis.url())
    times = asked.read()
    asked.close()
    assert np.isnan(times.postgres_s)
    assert times.redis_s > 0


def test_a_server_that_was_overrun_is_given_time_to_tell_its_counters(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def busy(served: Served) -> Counts:
        nonlocal asked
        asked += 1
        if asked in (2, 3):  # after the load
            raise StudyError("the API did not answer within 10 s")
        return counts_of(served)

    monkeypatch.setattr(attribution, "counts_of", busy)
    assert put_closed(stack.full, 4, 0.1).found.counts.lookups > 0
    assert asked == 4
    monkeypatch.setattr(attribution, "PATIENT_S", 0.0)
    asked = 0
    with pytest.raises(StudyError, match="did not answer"):
        put_closed(stack.full, 4, 0.1)


def test_users_beyond_the_limit_of_open_files_are_left_out(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crowds, "room_for", lambda: 19.0)
    people = People(daily_users=100, think_s=0.2)
    found = gather(stack.full, people, 5_000.0, NotFitted("no model"), SIZES)
    assert not found.measured
    assert found.left_out == (20,)
    assert "(ulimit -n): 20." in crowds_table(found).subtitle


def test_users_who_pause_make_the_requests_that_littles_law_says(stack: Stack) -> None:
    people = People(daily_users=100, think_s=0.2)
    found = gather(stack.full, people, 5_000.0, NotFitted("no model"), SIZES)
    (crowd,) = found.measured
    assert crowd.users == 20
    expected = 20 / 0.2 * SIZES.people_s
    assert 0.4 * expected <= len(crowd.rung.good) <= 1.1 * expected
    assert isinstance(found.cores, NotFitted)
