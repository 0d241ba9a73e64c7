"""A Redis of the user's own: reached by its URL, looked at, and used below one prefix."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

import redis
from redis.connection import parse_url

from perflab.services.addresses import RedisAddress
from perflab.services.errors import RungUnavailable
from perflab.services.external.leftovers import (
    Leftovers,
    connect_redis,
    has_keys,
    sweep_keys,
    write_down,
)
from perflab.services.external.urls import after_scheme, explained, given, malformed, refusal
from perflab.services.owner import Mark

PREFIX_ENV = "PERFLAB_REDIS_PREFIX"
SCHEMES = ("redis", "rediss", "unix")
_BASE = "perflab:"
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"WRONGPASS|NOAUTH|AUTH |Authentication|invalid (username-)?password",
        "is refused by {where}: wrong user or password",
        "correct them",
    ),
    (
        r"NOPERM|no permissions?",
        "names a user that may not do on {where} what the lab needs: {said}",
        "have the user given the commands and the keys below its prefix, or name another",
    ),
    (r"DB index", "names a database number that {where} does not have", "name another"),
    (
        r"Name or service not known|name resolution|nodename nor servname|No address",
        "names a host that is not known ({where})",
        "correct the host",
    ),
    (
        r"SSL|TLS|certificate",
        "and {where} do not agree on TLS: {said}",
        "correct redis:// or rediss:// and the ssl_ parameters",
    ),
    (
        r"refused|No such file|unreachable|No route",
        "leads to {where}, where no server listens",
        "start the server or correct host and port",
    ),
    (
        r"timed? ?out|Timeout",
        "leads to {where}, which does not answer",
        "start the server, correct host and port, or write redis:// if it speaks no TLS",
    ),
    (
        r"READONLY|read only replica",
        "leads to {where}, which is a read-only replica",
        "name the primary",
    ),
    (r"LOADING", "leads to {where}, which is still loading its data", "wait for it"),
    (
        r"Protocol Error|closed by server|Connection reset|Invalid|Bad response|unknown command",
        "leads to {where}, where something else than a Redis answers, or one that wants TLS",
        "correct host and port, or write rediss://",
    ),
)


def find() -> RedisAddress:
    """The Redis of the URL, with a key prefix for this lab; a RungUnavailable says why not.

    Nothing is written to the server.
    """
    url = given("redis")
    options = _options(url)
    said = ""
    info: dict[str, Any] = {}
    try:
        with connect_redis(url) as client:
            client.ping()
            info = {**client.info("server"), **client.info("replication")}
    except (redis.RedisError, OSError) as error:
        said = _line(error)
    if said:
        raise _explained(said, options)
    _check(info, _where(options))
    flavour = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get(f"{flavour}_version", "of unknown version"))
    return RedisAddress(
        rung="url",
        owned=False,
        version=version,
        flavour=flavour,
        build=version,
        host=str(options.get("path") or options.get("host") or "localhost"),
        port=0 if "path" in options else int(options.get("port", 6379)),
        password=str(options.get("password", "")),
        prefix=os.environ.get(PREFIX_ENV) or f"{_BASE}{secrets.token_hex(4)}:",
        given=url,
    )


def claim(address: RedisAddress, folder: Path) -> None:
    """Make the prefix this lab's, after removing what dead labs left.

    Written down in ``folder``, so that it is given back in every case. A RungUnavailable where
    keys of somebody else begin with the prefix, or where the user may not write there.
    """
    prefix = address.prefix
    chosen = os.environ.get(PREFIX_ENV) == prefix
    labs = f"{prefix if chosen else _BASE}labs"
    mark = Mark.of_this_process(prefix).text
    said, taken = "", False
    options = _options(address.given)
    try:
        with connect_redis(address.given) as client:
            sweep_keys(client, labs)
            # a prefix made by chance needs no look at every key of the server
            taken = chosen and has_keys(client, prefix)
            taken = taken or not client.hsetnx(labs, prefix, mark)
    except (redis.RedisError, OSError) as error:
        said = _line(error)
    if said:
        raise _explained(said, options)
    if taken:
        raise RungUnavailable(
            f"{PREFIX_ENV}: the Redis on {_where(options)} has keys that begin with {prefix!r};"
            " choose a prefix that is free, or unset it: the lab deletes its keys at the end"
        )
    write_down(folder, Leftovers(mark=mark, url=address.given, labs=labs))


def _options(url: str) -> dict[str, Any]:
    """What redis-py reads out of the URL; a RungUnavailable where it cannot."""
    rest = after_scheme("redis", url, SCHEMES, "/?#")
    options = _parse(url)
    path = rest.partition("?")[0].partition("/")[2]
    if options is None or (not url.startswith("unix") and not re.fullmatch(r"\d*", path)):
        raise malformed("redis")
    return options


def _parse(url: str) -> dict[str, Any] | None:
    try:
        return dict(parse_url(url))  # type: ignore[no-untyped-call] # it has no types
    except (ValueError, TypeError):  # its text can quote the URL
        return None


def _explained(said: str, options: dict[str, Any]) -> RungUnavailable:
    password = str(options.get("password", ""))
    return explained("redis", said, password, _where(options), _REFUSALS)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _where(options: dict[str, Any]) -> str:
    if "path" in options:
        return str(options["path"])
    return f"{options.get('host') or 'localhost'}:{options.get('port', 6379)}"


def _check(info: dict[str, Any], where: str) -> None:
    mode = info.get("redis_mode", "standalone")
    if mode != "standalone":
        raise refusal(
            "redis",
            f"leads to {where}, which runs as {mode}",
            "name a single server: the lab's keys would be spread over others",
        )
    if info.get("role") not in (None, "master"):
        raise refusal("redis", f"leads to {where}, which is a replica", "name the primary")
