"""Requests and watchers of another type are named before anything is sent."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from perflab.load import LoadError, Request, Target, run_closed, run_open

NOBODY = Target("localhost", 1)
REQUEST = Request("GET", "/")


@pytest.mark.parametrize("requests", [None, 5, "GET", b"GET", {REQUEST}, iter([REQUEST])])
def test_requests_of_another_type_are_refused(requests: Any) -> None:
    kind = type(requests).__name__
    why = f"requests: must be a Request, a sequence of them or a function, not {kind}"
    with pytest.raises(LoadError, match=why):
        run_open(NOBODY, requests, [0.0])
    with pytest.raises(LoadError, match=why):
        run_closed(NOBODY, requests, users=1, seconds=1.0)


async def later(number: int) -> Request:
    raise AssertionError("nobody awaits this")


@pytest.mark.parametrize("function", [later, functools.partial(later)])
def test_requests_come_from_a_function_that_need_not_be_awaited(function: Any) -> None:
    with pytest.raises(LoadError, match="requests is an async function, which nobody awaits"):
        run_open(NOBODY, function, [0.0])


def test_figures_along_the_way_need_something_to_count_them() -> None:
    live: Any = 3
    with pytest.raises(LoadError, match="live=3: must be a LiveFigures"):
        run_open(NOBODY, REQUEST, [0.0], live=live)


def test_port_0_is_not_taken_for_the_usual_one() -> None:
    with pytest.raises(LoadError, match="port: must be from 1 to 65535, not 0"):
        Target.from_url("http://localhost:0")
