"""docs/api.md: its curl lines are answered as the page says, its tables are the truth."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from perflab.api.limits import RULES
from perflab.ratelimit import DEFAULT_POLICIES

from .conftest import World
from .support import PASSWORD, run, running, served

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_the_curl_lines_are_answered_with_the_status_behind_them(world: World) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    [lines] = [block.splitlines() for block in blocks if "curl" in block]
    script, expected = ["set -euo pipefail"], []
    for line in lines:
        if line.startswith("curl"):
            command, _, status = line.partition("  # ")
            script.append(f"{command} -o /dev/null -w '%{{http_code}}\\n'")
            expected.append(status)
        else:
            script.append(line)
    assert len(expected) > 10

    async def scenario(port: int) -> None:
        given = {"API": f"http://127.0.0.1:{port}", "EMAIL": world.ada_email, "PASSWORD": PASSWORD}
        process = await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            "\n".join(script),
            env={**os.environ, **given},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, error = await process.communicate()
        assert process.returncode == 0, error.decode()
        found = list(zip(expected, out.decode().split(), strict=True))
        assert [one for one in found if one[0] != one[1]] == [], found

    run(served(world.settings, scenario))


def test_the_table_of_paths_and_that_of_statuses_are_complete(world: World) -> None:
    async def scenario() -> None:
        async with running(world.settings) as client:
            document = (await client.get("/openapi.json")).json()
        offered = re.findall(r"`(/[^`]*)`", PAGE.partition("## What it offers")[2].split("\n\n")[1])
        roots = {path.split("/")[1] for path in document["paths"]}
        assert {path.split("/")[1] for path in offered} == roots
        told = PAGE.partition("## Statuses")[2].partition("## ")[0]
        known = {int(one) for one in re.findall(r"\b[45]\d\d\b", told)}
        described = {
            int(status)
            for operations in document["paths"].values()
            for name, one in operations.items()
            if name != "parameters"
            for status in one["responses"]
            if int(status) >= 400
        }
        assert described <= known
        assert known - described == {405, 414, 431}, "those of the server and of every path"

    run(scenario())


def test_the_quotas_are_those_of_the_policies() -> None:
    told = re.findall(r"^\| `(\w+)` \| ([\d,]+) in ([\w ]+) \|", PAGE, re.MULTILINE)
    periods = {"15 minutes": 900, "a minute": 60, "5 seconds": 5}
    found = {name: (int(units.replace(",", "")), periods[period]) for name, units, period in told}
    assert found == {one.name: (one.limit, one.period_s) for one in DEFAULT_POLICIES}
    free = {path for path, policies in RULES.items() if not policies}
    [sentence] = re.findall(r"^By user .*$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`(/[^`]+)`", sentence)) == free
