"""The circuit of ``perflab.redis_link``: open after failures, probed until the server is well."""

from __future__ import annotations

import asyncio

from event_loop import run
from perflab.redis_link import Circuit


class Server:
    def __init__(self) -> None:
        self.well = False
        self.probed = asyncio.Semaphore(0)

    async def probe(self) -> bool:
        self.probed.release()
        return self.well


def test_opens_after_failures_in_a_row_and_closes_after_a_probe() -> None:
    async def scenario() -> None:
        server = Server()
        circuit = Circuit(server.probe, failures=3, probe_s=0.001)
        loop = asyncio.get_running_loop()
        for kind in ("failed", "slow"):
            circuit.outcome(kind, loop.time())
        circuit.outcome("answered", loop.time())
        for _ in range(2):
            circuit.outcome("failed", loop.time())
        assert not circuit.is_open
        circuit.outcome("slow", loop.time())
        assert circuit.is_open
        for _ in range(3):
            await server.probed.acquire()
            assert circuit.is_open
        server.well = True
        while circuit.is_open:
            await asyncio.sleep(0)
        assert (circuit.opened, circuit.slow, circuit.errors) == (1, 2, 3)
        for _ in range(3):
            circuit.outcome("failed", loop.time())
        assert circuit.is_open
        assert circuit.opened == 2
        await circuit.close()

    run(scenario())


def test_closing_ends_the_probing_and_leaves_it_open() -> None:
    async def scenario() -> None:
        server = Server()
        circuit = Circuit(server.probe, failures=1, probe_s=0.001)
        circuit.outcome("failed", asyncio.get_running_loop().time())
        await server.probed.acquire()
        await circuit.close()
        server.well = True
        assert circuit.is_open
        untouched = Circuit(server.probe, failures=1, probe_s=0.001)
        await untouched.close()
        assert untouched.is_open

    run(scenario())
