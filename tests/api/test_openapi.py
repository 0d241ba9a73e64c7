"""``/openapi.json``: true of what the server does, as schemathesis finds it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from perflab.ratelimit import DEFAULT_POLICIES

from .conftest import World
from .support import run, running, served, signed_in

CONFIG = Path(__file__).with_name("schemathesis.toml")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.mark.slow
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
        try:
            said, _ = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0, said.decode()
        # all but the description itself, which it does not ask for again
        operations = sum(len(one.keys() - {"parameters"}) for one in paths) - 1
        assert f"Tested: {operations}\n" in said.decode()

    run(served(settings, scenario), within_s=240)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for one in value.values():
            yield from references(one)
    elif isinstance(value, list):
        for one in value:
            yield from references(one)


def test_the_description_is_whole_and_says_what_the_declarations_say(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            answer = await client.get("/openapi.json")
            tag = {"if-none-match": answer.headers["etag"]}
            assert (await client.get("/openapi.json", headers=tag)).status_code == 304
        document = answer.json()
        for reference in references(document):
            found = document
            for step in reference.removeprefix("#/").split("/"):
                found = found[step]
        operations = {
            f"{method.upper()} {path}": operation
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if method != "parameters"
        }
        ids = [one["operationId"] for one in operations.values()]
        assert len(set(ids)) == len(ids)
        open_to_anybody = {name for name, one in operations.items() if "security" not in one}
        assert open_to_anybody == {
            "POST /auth/login", "GET /public/stats", "GET /healthz", "GET /readyz",
            "GET /metrics", "GET /openapi.json",
        }  # fmt: skip
        notes = {one["name"]: one["schema"] for one in operations["GET /notes"]["parameters"]}
        assert notes["limit"] == {"type": "integer", "minimum": 1, "maximum": 100, "default": 25}
        assert notes["tag"]["maxItems"] == 5
        assert operations["POST /tasks"]["parameters"][0]["name"] == "Idempotency-Key"
        assert "409" in operations["POST /habits/{id}/entries"]["responses"]
        assert "429" not in operations["GET /public/stats"]["responses"]
        item = document["components"]["schemas"]["Item"]
        assert item["properties"]["method"]["enum"] == ["DELETE", "GET", "HEAD", "PATCH", "POST"]

    run(scenario())
