"""The tier on a real Redis Cluster of three nodes."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

from event_loop import own_prefix, run
from perflab.cache.entry import Invalidation
from perflab.cache.redis.keys import Keys
from perflab.redis_link import slot

from .redis_support import entry, open_tier, store

PATIENCE_S = 60.0


def mgets(nodes: list[Any]) -> int:
    stats = [node.info("commandstats").get("cmdstat_mget", {"calls": 0}) for node in nodes]
    return sum(one["calls"] for one in stats)


def test_gets_of_a_tick_are_one_mget_for_each_slot(nodes: list[Any], cluster: str) -> None:
    prefix = own_prefix()
    names = Keys(prefix)

    async def scenario() -> None:
        async with open_tier(cluster, prefix=prefix, cluster=True) as tier:
            await tier.ping()
            keys = [str(number) for number in range(40)]
            tags = {key: ("all", f"tag:{int(key) % 3}") for key in keys}
            for key in keys:
                await store(tier, key, key, tags[key])
            before = mgets(nodes)
            found = await asyncio.gather(*(tier.get(key, tags[key]) for key in keys))
            assert [one.entry and one.entry.value for one in found] == keys
            asked = {names.epoch, names.tag("all"), *(names.tag(f"tag:{n}") for n in range(3))}
            asked |= {names.value(key) for key in keys}
            assert mgets(nodes) - before == len({slot(name) for name in asked})
            assert all(node.dbsize() > 0 for node in nodes), "one node holds nothing"

    run(scenario())


def test_leases_tags_and_purges_work_across_slots(cluster: str) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        async with (
            open_tier(cluster, prefix=prefix, cluster=True) as here,
            open_tier(cluster, prefix=prefix, cluster=True) as there,
        ):
            for key in ("a", "b", "c", "}", "{", "x}y{z}"):
                lease = await here.lease(key, ("red", "blue"), ttl_s=60)
                assert lease is not None
                assert await there.lease(key, ("red", "blue")) is None
                assert await here.fill(lease, entry(key, ("red", "blue")))
                assert await there.wait(key, 60)
                assert (await there.get(key, ("blue", "red"))).state == "hit"
            await store(here, "other", 1, ("green",))
            begun = await here.lease("d", ("red",))
            keyed = await here.lease("e")
            assert begun is not None
            assert keyed is not None
            assert await there.invalidate(tags=["red"], keys=["e"])
            assert {(await here.get(key, ("blue", "red"))).state for key in "abc"} == {"miss"}
            assert (await here.get("other", ("green",))).state == "hit"
            await here.fill(begun, entry("old", ("red",)))
            assert (await there.get("d", ("red",))).state == "miss"
            assert not await here.fill(keyed, entry("old"))
            assert await here.invalidate(everything=True)
            assert (await there.get("other", ("green",))).state == "miss"
            assert here.stats().errors == there.stats().errors == 0

    run(scenario())


def test_a_node_that_forgot_the_scripts_is_told_again(nodes: list[Any], cluster: str) -> None:
    async def scenario() -> None:
        async with open_tier(cluster, cluster=True) as tier:
            for node in nodes:
                node.script_flush()
            await asyncio.gather(*(store(tier, str(number), number) for number in range(20)))
            assert tier.stats().fills == 20

    run(scenario())


def test_invalidations_reach_listeners_on_any_node(cluster: str) -> None:
    prefix = own_prefix()

    async def scenario() -> None:
        heard: list[Invalidation] = []
        async with (
            open_tier(cluster, prefix=prefix, cluster=True) as here,
            open_tier(cluster, prefix=prefix, cluster=True) as there,
        ):
            await here.ping()
            here.listen(heard.append)
            async with asyncio.timeout(PATIENCE_S):
                while not here.connected:
                    await asyncio.sleep(0.01)
                await there.invalidate(tags=["t"])
                while len(heard) < 2:
                    await asyncio.sleep(0.01)
            assert heard == [Invalidation(everything=True), Invalidation((), ("t",))]

    run(scenario())


def test_a_node_that_hangs_is_an_outage_that_ends_with_it(nodes: list[Any], cluster: str) -> None:
    async def scenario() -> None:
        async with open_tier(cluster, cluster=True, budget_s=0.3, timeout_s=PATIENCE_S) as tier:
            await tier.ping()
            keys = [str(number) for number in range(30)]
            for key in keys:
                await store(tier, key, key)
            process = nodes[0].info("server")["process_id"]
            os.kill(process, signal.SIGSTOP)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    while tier.available:
                        found = await asyncio.gather(*map(tier.get, keys))
                        assert {one.state for one in found} == {"unavailable"}
            finally:
                os.kill(process, signal.SIGCONT)
            async with asyncio.timeout(PATIENCE_S):
                while not tier.available:
                    await asyncio.sleep(0.01)
            found = await asyncio.gather(*map(tier.get, keys))
            assert {one.state for one in found} == {"hit"}

    run(scenario())
