"""Fills racing purges: a value whose load began before a purge is never returned after it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from event_loop import own_prefix
from perflab.cache.entry import Lease
from perflab.cache.redis import RedisTier
from perflab.cache.redis.keys import Keys
from perflab.services import Redis

from .redis_support import entry, open_tier

T = TypeVar("T")
TAGS = {"a": ("red",), "b": ("blue", "red"), "c": ()}
CLIENTS = 3

keys = st.sampled_from(sorted(TAGS))
clients = st.integers(0, CLIENTS - 1)


class Load:
    """A value that somebody read from the source under a lease, and has not filled yet."""

    def __init__(self, lease: Lease, value: int) -> None:
        self.lease = lease
        self.value = value


class Interleavings(RuleBasedStateMachine):
    """Some processes, one Redis; the source is a version number for each key."""

    url: ClassVar[str]
    loads: Bundle[Load] = Bundle("loads")

    @initialize()
    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.prefix = own_prefix()
        self.tiers = [self.open() for _ in range(CLIENTS)]
        self.source = dict.fromkeys(TAGS, 0)
        self.oldest_allowed = dict.fromkeys(TAGS, 0)
        self.server = redis.Redis.from_url(self.url)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.close())
            self.loop.close()
            self.server.close()

    def open(self) -> RedisTier:
        return open_tier(self.url, prefix=self.prefix)

    async def close(self) -> None:
        for tier in self.tiers:
            await tier.close()

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(asyncio.wait_for(call, 60))

    @rule(target=loads, client=clients, key=keys)
    def lease_and_load(self, client: int, key: str) -> Any:
        lease = self.run(self.tiers[client].lease(key, TAGS[key], ttl_s=600))
        return multiple() if lease is None else Load(lease, self.source[key])

    @rule(client=clients, load=consumes(loads))
    def fill(self, client: int, load: Load) -> None:
        self.run(self.filling(client, load))

    @rule(load=consumes(loads))
    def die_before_filling(self, load: Load) -> None:
        """Nothing happens: the lease stays behind."""

    @rule(key=keys)
    def lease_runs_out(self, key: str) -> None:
        self.server.delete(Keys(self.prefix).lease(key))

    @rule(key=keys)
    def write_to_the_source(self, key: str) -> None:
        self.source[key] += 1

    @rule(client=clients, key=keys)
    def purge_key(self, client: int, key: str) -> None:
        self.purge({key}, self.tiers[client].invalidate(keys=[key]))

    @rule(client=clients, tag=st.sampled_from(["red", "blue"]))
    def purge_tag(self, client: int, tag: str) -> None:
        self.purge(
            {key for key in TAGS if tag in TAGS[key]}, self.tiers[client].invalidate(tags=[tag])
        )

    @rule(client=clients)
    def purge_everything(self, client: int) -> None:
        self.purge(set(TAGS), self.tiers[client].invalidate(everything=True))

    @rule(client=clients, load=loads, by_tag=st.booleans())
    def purge_what_is_being_loaded(self, client: int, load: Load, by_tag: bool) -> None:
        hit, purging = self.purging(client, load, by_tag)
        self.purge(hit, purging)

    @rule(
        client=clients,
        other=clients,
        load=consumes(loads),
        by_tag=st.booleans(),
        purge_first=st.booleans(),
    )
    def purge_while_filling(
        self, client: int, other: int, load: Load, by_tag: bool, purge_first: bool
    ) -> None:
        """Both under way at once, in either order of sending."""
        hit, purging = self.purging(other, load, by_tag)
        filling = self.filling(client, load)

        async def both() -> bool:
            pair = (purging, filling) if purge_first else (filling, purging)
            outcomes = await asyncio.gather(*pair)
            return outcomes[0 if purge_first else 1]

        self.purge(hit, both())

    @rule(client=clients)
    def restart_client(self, client: int) -> None:
        self.run(self.tiers[client].close())
        self.tiers[client] = self.open()

    @rule()
    def server_forgets_scripts(self) -> None:
        self.server.script_flush()

    @rule(name=st.sampled_from(["red", "blue", ""]))
    def version_is_evicted(self, name: str) -> None:
        names = Keys(self.prefix)
        self.server.delete(names.tag(name) if name else names.epoch)

    @invariant()
    def nothing_from_before_a_purge_is_returned(self) -> None:
        if not hasattr(self, "loop"):
            return

        async def all_gets() -> list[Any]:
            return await asyncio.gather(
                *(tier.get(key, TAGS[key]) for tier in self.tiers for key in TAGS)
            )

        for key, found in zip([*TAGS] * CLIENTS, self.run(all_gets()), strict=True):
            assert found.state in ("hit", "miss")
            if found.entry is not None:
                assert found.entry.value >= self.oldest_allowed[key]

    async def filling(self, client: int, load: Load) -> bool:
        tags = load.lease.tags
        return await self.tiers[client].fill(load.lease, entry(load.value, tags))

    def purging(
        self, client: int, load: Load, by_tag: bool
    ) -> tuple[set[str], Coroutine[Any, Any, bool]]:
        """A purge that hits a load under way, and the keys that it hits."""
        key, tags = load.lease.key, load.lease.tags[:1]
        if by_tag and tags:
            hit = {other for other in TAGS if tags[0] in TAGS[other]}
            return hit, self.tiers[client].invalidate(tags=tags)
        return {key}, self.tiers[client].invalidate(keys=[key])

    def purge(self, hit: set[str], call: Coroutine[Any, Any, bool]) -> None:
        """Change the source, then purge, as a writer does."""
        for key in hit:
            self.source[key] += 1
        assert self.run(call)
        for key in hit:
            self.oldest_allowed[key] = self.source[key]


@pytest.fixture
def machine(redis_server: Redis) -> type[RuleBasedStateMachine]:
    class Here(Interleavings):
        url = redis_server.url()

    return Here


def test_no_interleaving_returns_a_value_from_before_a_purge(
    machine: type[RuleBasedStateMachine],
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_fills_and_purges_at_full_speed_leave_nothing_old_behind(redis_server: Redis) -> None:
    """Many loaders and a writer, unsynchronised: what the machine above does one step at a time."""
    prefix = own_prefix()
    source = {"value": 0}

    async def load_for_ever(tier: RedisTier, stop: asyncio.Event) -> int:
        filled = 0
        while not stop.is_set():
            lease = await tier.lease("k", ("t",))
            if lease is None:
                await tier.wait("k", 5)
                continue
            value = source["value"]
            await asyncio.sleep(0)
            filled += await tier.fill(lease, entry(value, ("t",)))
            await tier.invalidate(keys=["k"])
        return filled

    async def scenario() -> None:
        stop = asyncio.Event()
        tiers = [open_tier(redis_server.url(), prefix=prefix) for _ in range(4)]
        loaders = [asyncio.create_task(load_for_ever(tier, stop)) for tier in tiers]
        for _ in range(300):
            source["value"] += 1
            assert await tiers[0].invalidate(tags=["t"])
            purged = source["value"]
            found = await asyncio.gather(*(tier.get("k", ("t",)) for tier in tiers))
            assert all(one.entry is None or one.entry.value >= purged for one in found)
        stop.set()
        assert sum(await asyncio.gather(*loaders)) > 0
        for tier in tiers:
            await tier.close()

    asyncio.run(asyncio.wait_for(scenario(), 120))
