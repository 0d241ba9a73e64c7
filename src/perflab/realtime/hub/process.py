"""A hub as a process: ``python -P -m perflab.realtime.hub.process``.

Its input's first line is a ``HubOrder`` as JSON, secrets included, which a command line would show
to everybody. It answers with its address. From then on each line of input is answered with a
``HubReport``, as JSON. It drains and ends on SIGTERM or Ctrl-C, and ends when its input does, so
that it never outlives whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
import time
from collections.abc import AsyncIterator

import msgspec
import psutil
import uvloop

from perflab.monitor import LoopLag, MetricsEndpoint, MetricsRegistry, MonitorError
from perflab.realtime.errors import RealtimeError
from perflab.realtime.hub.server import Hub
from perflab.realtime.hub.settings import HubSettings
from perflab.realtime.hub.stats import HubStats
from perflab.realtime.sockets import need_files
from perflab.realtime.tokens import Tokens


class HubOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process is told."""

    redis: str
    secret: str
    """Of the tokens."""
    prefix: str = "perflab:channels:"
    host: str = "127.0.0.1"
    port: int = 0
    drain_s: float = 5.0
    history_size: int = 1_000
    history_s: float = 300.0
    settings: HubSettings = HubSettings()
    metrics_port: int | None = None
    """Where ``/metrics`` is served, on loopback; None for nowhere."""


class HubReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the process says of itself."""

    stats: HubStats
    cpu_s: float
    """Processor time, the system's on its behalf included, since it began."""
    rss_bytes: int
    at: float
    """The monotonic clock, the same for all processes of a machine."""


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    return reader


async def _report(hub: Hub, lines: asyncio.StreamReader) -> None:
    process = psutil.Process()
    while await lines.readline():
        report = HubReport(
            stats=hub.stats(),
            cpu_s=time.process_time(),
            rss_bytes=process.memory_info().rss,
            at=time.monotonic(),
        )
        _say(msgspec.json.encode(report))


async def _main() -> None:
    lines = await _lines()
    order = msgspec.json.decode(await lines.readline(), type=HubOrder)
    need_files(order.settings.max_connections + order.settings.max_handshakes)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    hub = Hub(
        order.redis,
        Tokens(order.secret),
        order.settings,
        prefix=order.prefix,
        host=order.host,
        port=order.port,
        history_size=order.history_size,
        history_s=order.history_s,
    )
    async with hub, _watched(hub, order.metrics_port):
        gc.freeze()  # what is here stays; collections need not look at it
        _say(hub.url.encode())
        told = loop.create_task(over.wait())
        reporting = loop.create_task(_report(hub, lines))
        await asyncio.wait({told, reporting}, return_when=asyncio.FIRST_COMPLETED)
        gone = reporting.done()
        for task in (told, reporting):
            task.cancel()
        await asyncio.wait({told, reporting})
        await hub.drain(0.0 if gone else order.drain_s)


@contextlib.asynccontextmanager
async def _watched(hub: Hub, port: int | None) -> AsyncIterator[None]:
    """Serve the hub's figures and the lag of its loop."""
    if port is None:
        yield
        return
    registry = MetricsRegistry()
    async with LoopLag() as lag:
        registry.register("hub", hub.stats)
        registry.register("loop", lag.stats)
        async with MetricsEndpoint(registry, port=port):
            yield


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Serve until told otherwise."""
    try:
        uvloop.run(_main())
    except (RealtimeError, MonitorError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except (msgspec.MsgspecError, BrokenPipeError) as error:
        sys.exit(f"the order of the hub cannot be used: {error}")


if __name__ == "__main__":
    main()
