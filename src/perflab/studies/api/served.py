"""A server of a study: the API, or the bare framework with an answer of the same bytes.

As a program it reads its orders as JSON from the first line of its input, since they hold
secrets, serves, prints its port when it answers, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from typing import Final

import msgspec
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from perflab.api.app import create_app
from perflab.api.server import serve
from perflab.api.settings import ApiSettings
from perflab.asgi import App
from perflab.services.ports import free_ports

HOST: Final = "127.0.0.1"
BARE_PATH: Final = "/bare"


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What to serve, and where."""

    settings: ApiSettings | None = None
    """Of the API; None for the bare framework."""
    behind_s: float = 0.0
    """How far the API's clock is behind the machine's: its data was "taken" at another time."""
    answer: bytes = b""
    """What the bare framework answers at ``BARE_PATH``."""
    fields: tuple[tuple[str, str], ...] = ()
    """And its fields."""
    core: int | None = None
    """The only core that the process may use; None for any."""


def bare(answer: bytes, fields: tuple[tuple[str, str], ...]) -> App:
    """One route and nothing around it: what the framework and the server cost alone."""
    headers = dict(fields)

    async def endpoint(request: Request) -> Response:
        return Response(answer, headers=headers)

    return Starlette(routes=[Route(BARE_PATH, endpoint)])


def _serve(orders: Orders) -> None:
    if orders.core is not None:
        os.sched_setaffinity(0, {orders.core})
    if orders.settings is None:
        app = bare(orders.answer, orders.fields)
    else:
        behind_s = orders.behind_s
        app = create_app(orders.settings, clock=lambda: time.time() - behind_s)
    port = next(free_ports())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(app, host=HOST, port=port, ready=lambda: print(port, flush=True)))


def _end_with_input() -> None:
    """Stop the server when whoever ordered it is gone."""
    sys.stdin.read()
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.readline(), type=Orders)
    threading.Thread(target=_end_with_input, daemon=True).start()
    _serve(given)
