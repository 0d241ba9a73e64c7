"""WebSocket scenarios written to files, and hubs in processes of their own to run them on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from event_loop import own_prefix
from perflab.realtime.hub.apart import HubProcess
from perflab.realtime.hub.process import HubOrder
from perflab.realtime.hub.settings import HubSettings
from perflab.realtime.tokens import Tokens
from perflab.services import Redis

SECRET = "of-the-tests-and-of-nothing-else-at-all"


@contextmanager
def hub_of(redis: Redis, connections: int = 1_000) -> Iterator[HubProcess]:
    order = HubOrder(
        redis=redis.url(),
        secret=SECRET,
        prefix=own_prefix(),
        settings=HubSettings(max_connections=connections),
    )
    with HubProcess(order) as hub:
        yield hub


def scenario_file(
    folder: Path,
    *,
    connections: int = 20,
    channels: int = 4,
    duration_s: float = 0.5,
    rate_per_s: float = 100,
    more: str = "",
) -> Path:
    """A scenario whose tokens the hubs of ``hub_of`` take."""
    tokens = Tokens(SECRET)
    rows = "".join(f"{tokens.sign(str(user), 600)}\n" for user in range(4))
    (folder / "accounts.csv").write_text("hub_token\n" + rows)
    path = folder / "sockets.toml"
    path.write_text(f"""\
kind = "websocket"
title = "a <crowd>"
connections = {connections}
channels = {channels}
duration_s = {duration_s}
token = "${{account.hub_token}}"
{more}
[arrival]
kind = "constant"
rate_per_s = {rate_per_s}
[feeder.account]
file = "accounts.csv"
pick = "turn"
""")
    return path
