"""The plan's fourth scenario: many WebSocket connections at once, all of them listening."""

from __future__ import annotations

import secrets
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from perflab.measure.experiment import without_gc
from perflab.paths import data_dir
from perflab.realtime.errors import RealtimeError
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.hub.process import HubOrder, HubReport
from perflab.realtime.hub.settings import HubSettings
from perflab.realtime.scenarios import (
    SocketSummary,
    load_sockets,
    run_sockets,
    summarise_sockets,
)
from perflab.realtime.sockets import need_files
from perflab.realtime.tokens import Tokens
from perflab.report.not_run import NotRun
from perflab.services import Redis
from perflab.studies.load.accounts import write_hub_tokens
from perflab.studies.prefixes import own_prefix

FILE: Final = data_dir() / "scenarios" / "websocket_connections.toml"


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What became of the connections."""

    summary: SocketSummary
    hub: HubReport | None
    """What the hub said of itself at the end, its CPU time since it had started; None if it did
    not live to tell."""


def hold_connections(
    redis: Redis, count: int, seconds: float, seed: int, core: int | None = None
) -> Crowd | NotRun:
    """Run the scenario's file on a hub of its own, with ``count`` connections.

    A NotRun says why so many cannot be opened here, or that the hub does not start.
    """
    secret = secrets.token_urlsafe(32)
    order = HubOrder(
        redis=redis.url(),
        secret=secret,
        prefix=own_prefix(redis, "hub"),
        settings=HubSettings(max_connections=count),
    )
    with ExitStack() as stack:
        try:
            need_files(count)
            hub = stack.enter_context(HubProcess(order, core=core))
        except RealtimeError as error:
            return NotRun(f"{count:,} WebSocket connections", str(error))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="perflab-load-")))
        accounts = folder / "accounts.csv"
        write_hub_tokens(accounts, Tokens(secret), count)
        scenario = load_sockets(
            FILE,
            target=hub.url,
            data={"account": accounts},
            duration_s=seconds,
            seed=seed,
            connections=count,
        )
        with without_gc():
            run = run_sockets(scenario)
        return Crowd(summary=summarise_sockets(run), hub=_last_words(hub))


def _last_words(hub: HubProcess) -> HubReport | None:
    try:
        return hub.report()
    except RealtimeError:
        return None
