"""What fits into the tiers, on the lab's own server and on one that is not the lab's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from perflab.cache.redis.keys import Keys
from perflab.report.not_run import NotRun
from perflab.services import Redis, open_services
from perflab.studies.cache import capacity
from perflab.studies.cache.capacity import Room, measure_room
from perflab.studies.cache.workload import Values
from redis_outages import foreign

ENTRIES = 2_000
MIB = 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[Redis]:
    with open_services("embedded", only=["redis"]) as opened:
        yield opened.redis


@pytest.fixture
def client(server: Redis) -> Iterator[Any]:
    """To an empty server without a limit."""
    server.restart()
    with redis.Redis.from_url(server.url()) as opened:
        yield opened


def limit(client: Any) -> tuple[int, str]:
    return (
        int(client.config_get("maxmemory")["maxmemory"]),
        client.config_get("maxmemory-policy")["maxmemory-policy"],
    )


def values_left(client: Any) -> int:
    """Entries that were not removed after they were counted."""
    return len(client.keys("*v{*"))


def test_on_the_labs_own_server_all_entries_are_found_and_nothing_is_evicted(
    server: Redis, client: Any
) -> None:
    before = limit(client)
    found = measure_room(server, ENTRIES, seed=1)
    assert isinstance(found, Room)
    assert found.redis == ENTRIES
    assert found.asked == found.readable == 500
    assert found.capacity.evicted == 0
    assert found.capacity.problems == ()
    assert found.configured
    assert found.seconds > 0
    # what is needed, by the library's own estimate, and some room for the server
    assert found.capacity.policy == "allkeys-lru"
    assert limit(client) == before, "it was set for the count alone"
    assert 32 * MIB < found.capacity.max_bytes < 64 * MIB


def test_memory_keeps_what_it_is_made_for_of_more_that_come(server: Redis, client: Any) -> None:
    found = measure_room(server, 10, seed=1)
    assert isinstance(found, Room)
    assert found.memory == 1_000
    assert found.asked == found.readable == 10, "fewer than are asked for at most"


def test_an_entry_takes_more_than_its_value_and_not_much_more(server: Redis, client: Any) -> None:
    found = measure_room(server, ENTRIES, seed=2)
    assert isinstance(found, Room)
    assert found.value_bytes == Values(2).mean_bytes
    assert found.value_bytes < found.bytes_per_entry < found.value_bytes + 400


def test_what_was_written_is_removed_also_where_it_fails_half_way(
    server: Redis, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(measure_room(server, ENTRIES, seed=1), Room)
    assert values_left(client) == 0

    def fails(writer: Any, keys: Keys, *_rest: object) -> None:
        for number in range(5):
            writer.set(keys.value(f"key:{number}"), "x")
        assert values_left(client) == 5
        raise redis.ResponseError("OOM")

    monkeypatch.setattr(capacity, "_write", fails)
    with pytest.raises(redis.ResponseError):
        measure_room(server, ENTRIES, seed=1)
    assert values_left(client) == 0


def test_another_server_with_too_little_room_is_left_as_it_is(server: Redis, client: Any) -> None:
    client.set("theirs", "x")
    client.config_set("maxmemory", 20 * MIB)
    client.config_set("maxmemory-policy", "noeviction")
    found = measure_room(foreign(server), ENTRIES, seed=1)
    assert isinstance(found, NotRun)
    assert "maxmemory leaves" in repr(found)
    assert "32 MiB are needed" in repr(found) or "33 MiB are needed" in repr(found)
    assert client.keys() == [b"theirs"]
    assert limit(client) == (20 * MIB, "noeviction")


@pytest.mark.parametrize("max_mib", [0, 256])
def test_another_server_with_room_is_filled_but_not_configured(
    server: Redis, client: Any, max_mib: int
) -> None:
    client.config_set("maxmemory", max_mib * MIB)
    found = measure_room(foreign(server), ENTRIES, seed=1)
    assert isinstance(found, Room)
    assert found.redis == ENTRIES
    assert not found.configured
    assert limit(client) == (max_mib * MIB, "noeviction")
    assert all(key.startswith(b"theirs:") for key in client.keys("*")), "only below its prefix"


def test_a_server_that_takes_no_writes_is_said_to_be_one(server: Redis, client: Any) -> None:
    client.config_set("min-replicas-to-write", 1)
    found = measure_room(foreign(server), ENTRIES, seed=1)
    assert isinstance(found, NotRun)
    assert "does not take writes" in repr(found)


def test_entries_that_were_evicted_are_not_counted(
    server: Redis, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "_SPARE", -300 * ENTRIES)
    found = measure_room(server, ENTRIES, seed=1)
    assert isinstance(found, Room)
    assert 0 < found.redis < ENTRIES
    assert found.capacity.evicted > 0
    assert found.readable < found.asked
