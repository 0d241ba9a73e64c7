"""The clock of busy time: it runs while the thread works, with and without Linux's figures."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from perflab.load.busy import BusyClock


def work(cpu_s: float) -> None:
    until = time.thread_time() + cpu_s
    while time.thread_time() < until:
        pass


@pytest.mark.serial
@pytest.mark.parametrize("linux", [True, False])
def test_clock_runs_while_the_thread_works(monkeypatch: pytest.MonkeyPatch, linux: bool) -> None:
    if not linux:

        def missing(*_: Any) -> int:
            raise FileNotFoundError

        monkeypatch.setattr(os, "open", missing)
    clock = BusyClock()
    try:
        before, began = clock(), time.perf_counter()
        work(0.1)
        passed_s = clock() - before
        # the kernel brings its figure up to date with every tick
        assert 0.08 <= passed_s <= time.perf_counter() - began + 0.02
    finally:
        clock.close()
        clock.close()
