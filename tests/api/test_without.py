"""An API without one of its parts, as studies compare it with the whole."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from perflab.api.settings import POLICIES, Part
from perflab.ratelimit import DEFAULT_POLICIES

from .conftest import World
from .support import execute, run, running, signed_in

SMALL = tuple(
    msgspec.structs.replace(one, limit=3 if one.name == "api" else 100) for one in DEFAULT_POLICIES
)
PAGE = "/tasks?limit=50"


async def behaviour(client: httpx.AsyncClient, world: World) -> dict[str, Any]:
    """What a client can see of each part."""
    ada = await signed_in(client, world.ada_email)
    before = await client.get(PAGE, headers={**ada, "accept-encoding": "gzip"})
    execute(world.conninfo, "UPDATE tasks SET title = 'changed behind its back'")
    after = await client.get(PAGE, headers=ada)
    others = [await client.get(PAGE, headers=ada) for _ in range(3)]
    connected = execute(
        world.conninfo,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
    return {
        "cache": "changed behind" not in after.text,
        "compression": before.headers.get("content-encoding") == "gzip",
        "limiter": 429 in [one.status_code for one in others],
        "pool": connected[0][0] > 0,
    }


@pytest.mark.parametrize("missing", ["", "cache", "compression", "limiter", "pool"])
def test_just_the_part_that_is_left_out_is_missing(world: World, missing: Part | str) -> None:
    settings = msgspec.structs.replace(
        world.settings, policies=SMALL, without=(missing,) if missing else ()
    )

    async def scenario() -> None:
        async with running(settings) as client:
            seen = await behaviour(client, world)
        assert [part for part, there in seen.items() if not there] == [missing] * bool(missing)

    run(scenario())


@pytest.mark.parametrize(("without", "leased"), [((), 20 - 2), (("leases",), 0)])
def test_without_leases_every_check_goes_to_redis(
    world: World, without: tuple[Part, ...], leased: int
) -> None:
    settings = msgspec.structs.replace(world.settings, policies=POLICIES, without=without)

    async def scenario() -> None:
        async with running(settings) as client:
            ada = await signed_in(client, world.ada_email)
            left = [
                (await client.get(PAGE, headers=ada)).headers["ratelimit"].split(";")[1]
                for _ in range(20)
            ]
            assert left == [f"r={1_000 - number}" for number in range(1, 21)]
            counted = (await client.get("/metrics")).text
            assert f'perflab_ratelimit_leased_total{{policy="api"}} {leased:.1f}' in counted

    run(scenario())
