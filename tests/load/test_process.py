"""A load in a process of its own: the same samples, and nothing left when its parent goes."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from dataclasses import fields

import numpy as np
import psutil
import pytest

from perflab.load import LoadError, Request, Target, arrivals, run_closed, run_open

from .server import DEADLINE_S, OK, Asked, never, says, serving

GET = Request("GET", "/")


def test_samples_of_a_process_are_like_those_of_a_thread() -> None:
    answer = says(b"HTTP/1.1 200 OK\r\nX-Tag: a\r\nContent-Length: 2\r\n\r\nok")
    due_s = arrivals.constant(200, count=20)
    with serving(answer) as server:
        apart, here = (
            run_open(
                server.target, GET, due_s, keep_header="x-tag", keep_body=True, own_process=apart
            )
            for apart in (True, False)
        )
    for field in fields(here):
        there, ours = getattr(apart, field.name), getattr(here, field.name)
        assert type(there) is type(ours), field.name
        if isinstance(ours, np.ndarray):
            assert there.dtype == ours.dtype
            assert there.shape == ours.shape
            assert there.flags.writeable
    assert apart.kept_header == here.kept_header == (b"a",) * 20
    assert apart.bodies == here.bodies == (b"ok",) * 20
    assert apart.statuses == {200: 20}
    np.testing.assert_allclose(apart.scheduled_s, due_s, atol=1e-9)


def test_closed_load_runs_in_a_process() -> None:
    with serving(says(OK)) as server:
        samples = run_closed(server.target, GET, users=2, seconds=0.2, own_process=True)
    assert samples.kind == "closed"
    assert samples.answered.sum() > 2


def test_error_of_a_process_is_the_callers() -> None:
    with pytest.raises(LoadError, match=r"host: 'nowhere\.invalid' has no address"):
        run_open(Target("nowhere.invalid", 80), GET, [0.0], own_process=True)


def test_interrupt_ends_the_process() -> None:
    async def answer(_: Asked, __: asyncio.StreamWriter) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        await asyncio.Event().wait()

    with serving(answer) as server, pytest.raises(KeyboardInterrupt):
        run_open(server.target, GET, [0.0, 1000.0], timeout_s=1000, own_process=True)
    assert not [one for one in psutil.Process().children() if "perflab.load" in str(one.cmdline())]


_PARENT = """
import sys
from perflab.load import Request, Target, run_open
run_open(Target("127.0.0.1", int(sys.argv[1])), Request("GET", "/"), [0.0, 1000.0],
         timeout_s=1000, own_process=True)
"""


def test_process_ends_when_its_parent_is_killed() -> None:
    sent = threading.Event()

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        sent.set()
        await never(asked, writer)

    with serving(answer) as server:
        parent = subprocess.Popen([sys.executable, "-P", "-c", _PARENT, str(server.port)])
        try:
            assert sent.wait(DEADLINE_S)
            (child,) = psutil.Process(parent.pid).children()
        finally:
            parent.kill()
            parent.wait()
        gone, alive = psutil.wait_procs([child], timeout=DEADLINE_S)
        assert not alive
