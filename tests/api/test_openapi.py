"""``/openapi.json``: true of what the server does, as schemathesis finds it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import httpx
import msgspec

from perflab.ratelimit import DEFAULT_POLICIES

from .conftest import World
from .support import run, served, signed_in

CONFIG = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def test_schemathesis_finds_nothing_that_is_not_described(world: World, tmp_path: Path) -> None:
    # nobody is to be refused, so that every request is answered by what it asks for
    policies = tuple(
        msgspec.structs.replace(one, limit=100_000, algorithm="gcra") for one in DEFAULT_POLICIES
    )
    settings = msgspec.structs.replace(world.settings, policies=policies)

    async def scenario(port: int) -> None:
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url) as client:
            ada = await signed_in(client, world.ada_email)
            paths = (await client.get("/openapi.json")).json()["paths"].values()
        token = ada["authorization"].removeprefix("Bearer ")
        process = await asyncio.create_subprocess_exec(
            SCHEMATHESIS,
            f"--config-file={CONFIG}",
            "run",
            f"{url}/openapi.json",
            cwd=tmp_path,
            env={**os.environ, "PERFLAB_TEST_TOKEN": token},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()
        # all but the description itself, which it does not ask for again
        operations = sum(len(one.keys() - {"parameters"}) for one in paths) - 1
        assert f"Tested: {operations}\n" in said.decode()

    run(served(settings, scenario))
