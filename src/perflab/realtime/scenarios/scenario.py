"""A WebSocket scenario read, checked and made ready to run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from perflab.config import error_at, load_toml, read_toml
from perflab.load.arrivals import positive
from perflab.load.errors import LoadError
from perflab.load.request import Target, shown
from perflab.load.scenarios.arriving import check_arrival
from perflab.load.scenarios.conditions import Condition, parse
from perflab.load.scenarios.feeders import USER, read_feeders
from perflab.load.scenarios.file import Open
from perflab.load.scenarios.template import Template, TemplateError
from perflab.realtime.errors import RealtimeError
from perflab.realtime.messages import Lane, check_channel
from perflab.realtime.scenarios.figures import METRICS
from perflab.realtime.scenarios.file import KIND, SocketFile

_SCHEMES = {"ws": "http", "wss": "https"}
"""With what a WebSocket's handshake begins (RFC 6455, section 3)."""


@dataclass(frozen=True, kw_only=True)
class SocketScenario:
    """What is run; the fields are those of ``SocketFile``, checked."""

    path: Path
    title: str
    endpoints: tuple[str, ...]
    targets: tuple[Target, ...]
    """The endpoints' hosts and ports."""
    connections: int
    opening_at_once: int
    channels: int
    channel: str
    lane: Lane
    message_bytes: int
    duration_s: float
    timeout_s: float
    seed: int
    tokens: tuple[str, ...]
    """Of each connection; empty texts for none."""
    arrival: Open
    thresholds: tuple[Condition, ...]
    abort: tuple[Condition, ...]


def is_websocket(path: Path) -> bool:
    """Whether a scenario file is one of WebSockets; a ConfigError if it cannot be read."""
    return read_toml(path).get("kind") == KIND


def load_sockets(
    path: Path,
    *,
    target: str = "",
    data: Mapping[str, Path] | None = None,
    duration_s: float | None = None,
    seed: int | None = None,
    connections: int | None = None,
) -> SocketScenario:
    """The scenario in a file; a ConfigError names file, line, key and reason of what is wrong.

    Args:
        path: the file; ``docs/load.md`` describes it.
        target: addresses that stand for the file's.
        data: CSV files that stand for the feeders of these names.
        duration_s: stands for the file's.
        seed: stands for the file's.
        connections: stands for the file's.
    """
    file = load_toml(path, SocketFile)
    if connections is not None:
        file = msgspec.structs.replace(file, connections=connections)
    length = file.duration_s if duration_s is None else positive("duration_s", duration_s)
    seed = file.seed if seed is None else seed
    if file.channels > file.connections:
        raise error_at(
            path, ["channels"], f"{file.connections} connections cannot listen to more channels"
        )
    try:
        check_channel(f"{file.channel}-0")
    except RealtimeError as error:
        raise error_at(path, ["channel"], str(error)) from None
    check_arrival(path, file.arrival, length)
    endpoints, targets = _endpoints(path, file, target)
    return SocketScenario(
        path=path,
        title=file.title,
        endpoints=endpoints,
        targets=targets,
        connections=file.connections,
        opening_at_once=file.opening_at_once,
        channels=file.channels,
        channel=file.channel,
        lane=file.lane,
        message_bytes=file.message_bytes,
        duration_s=length,
        timeout_s=file.timeout_s,
        seed=seed,
        tokens=_tokens(path, file, data or {}, seed),
        arrival=file.arrival,
        thresholds=_conditions(path, "thresholds", file.thresholds),
        abort=_conditions(path, "abort", file.abort),
    )


def _endpoints(
    path: Path, file: SocketFile, given: str
) -> tuple[tuple[str, ...], tuple[Target, ...]]:
    written = [one.strip() for one in (given or file.target).split(",") if one.strip()]
    if not written:
        raise error_at(path, ["target"], "there is none; name the hubs here or with --target URL")
    try:
        return tuple(written), tuple(_target(one) for one in written)
    except LoadError as error:
        if given:
            raise
        raise error_at(path, ["target"], str(error)) from None


def _target(url: str) -> Target:
    """Where an address leads to; a path is the hub's affair."""
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise LoadError(f"url: {shown(url)!r}: must begin with ws:// or wss://")
    return Target.from_url(f"{_SCHEMES[scheme]}://{re.split(r'[/?#]', rest, maxsplit=1)[0]}")


def _tokens(path: Path, file: SocketFile, data: Mapping[str, Path], seed: int) -> tuple[str, ...]:
    feeders = read_feeders(path, file.feeder, file.connections, data)
    try:
        token = Template(file.token)
    except TemplateError as error:
        raise error_at(path, ["token"], str(error)) from None
    known = {USER, *(name for feeder in feeders for name in feeder.rows[0])}
    if unknown := token.names - known:
        raise error_at(
            path,
            ["token"],
            f"${{{min(unknown)}}} is not known here; known: {', '.join(sorted(known))}",
        )
    rng = np.random.default_rng([seed, 1])
    tokens = []
    for user in range(file.connections):
        values: dict[str, object] = {USER: user}
        for feeder in feeders:
            drawn = feeder.pick == "random"
            row = int(rng.integers(len(feeder.rows))) if drawn else user % len(feeder.rows)
            values |= feeder.rows[row]
        tokens.append(token.fill(values))
    return tuple(tokens)


def _conditions(path: Path, key: str, texts: list[str]) -> tuple[Condition, ...]:
    try:
        return tuple(parse(text, set(), METRICS) for text in texts)
    except ValueError as error:
        raise error_at(path, [key], str(error)) from None
