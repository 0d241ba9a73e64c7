"""A load of several members in this process: no cluster, the same code."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from perflab.load import LoadError
from perflab.load.distributed import Member, State, conduct
from perflab.load.distributed.conducting import Led, WorkerLost
from perflab.load.scenarios import Run, Scenario, load_scenario, run_scenario, summarise
from perflab.load.scenarios.schedule import Segment

from ..server import Asked, Server, serving

SHOP = """
title = "shop"
users = 7
duration_s = {duration_s}
{more}
[arrival]
kind = "poisson"
rate_per_s = 150
[feeder.item]
rows = [{{ id = 1 }}, {{ id = 2 }}, {{ id = 3 }}]
pick = "turn"
[feeder.colour]
rows = [{{ id = "red" }}, {{ id = "blue" }}]
pick = "random"
[[setup]]
name = "login"
path = "/login/${{user}}"
capture = {{ token = {{ json = "token" }} }}
[[flow]]
name = "look"
weight = 2
[[flow.request]]
name = "see"
path = "/item/${{item.id}}/${{colour.id}}/${{user}}/${{token}}"
[[flow]]
name = "buy"
[[flow.request]]
name = "choose"
path = "/choose/${{item.id}}"
[[flow.request]]
name = "pay"
path = "/pay"
"""


async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
    body = b'{"token": "t%s"}' % asked.target.rpartition("/")[2].encode()
    status = 429 if asked.target.startswith("/choose/3") else 200
    writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(answer) as running:
        yield running


def shop(server: Server, folder: Path, *, duration_s: float = 0.5, more: str = "") -> Scenario:
    path = folder / "s.toml"
    path.write_text(SHOP.format(duration_s=duration_s, more=more))
    return load_scenario(path, target=f"http://127.0.0.1:{server.port}")


def members(scenario: Scenario, count: int) -> dict[str, Led]:
    return {f"w{k}": Member(scenario, Segment(k, count), spin=False) for k in range(count)}


class Skewed:
    """A member whose clock goes from another zero."""

    def __init__(self, member: Led, skew_s: float) -> None:
        self._member = member
        self._skew_s = skew_s
        self.told = 0.0

    def clock(self) -> float:
        return self._member.clock() + self._skew_s

    def begin(self, at: float) -> None:
        self.told = at - self._skew_s
        self._member.begin(self.told)

    def state(self) -> State:
        return self._member.state()

    def latest(self) -> Run | None:
        return self._member.latest()

    def stop(self) -> None:
        self._member.stop()

    def result(self) -> Run | None:
        return self._member.result()


class Dying(Skewed):
    """A member that cannot be reached any more some time after it began."""

    def state(self) -> State:
        state = super().state()
        if state.progress is not None and state.progress.requests > 5:
            raise WorkerLost("worker w1 (elsewhere, pid 7) was lost")
        return state

    def stop(self) -> None:
        super().stop()
        raise WorkerLost("worker w1 (elsewhere, pid 7) was lost")


def rows_of(run: Run) -> list[tuple[float, int, int, int]]:
    return sorted(
        zip(
            np.round(run.samples.scheduled_s, 6).tolist(),
            run.step.tolist(),
            run.user.tolist(),
            run.verdict.tolist(),
            strict=True,
        )
    )


def first_steps(run: Run) -> list[tuple[float, int, int, int]]:
    """Those whose times the schedule sets; a second step is due when the first is answered."""
    return [row for row in rows_of(run) if row[1] != 2]


def test_three_members_make_the_load_of_one_process(server: Server, tmp_path: Path) -> None:
    scenario = shop(server, tmp_path)
    alone = run_scenario(scenario)
    asked_alone = sorted(asked.target for asked in server.asked)
    server.asked.clear()
    several = conduct(scenario, members(scenario, 3))
    assert sorted(asked.target for asked in server.asked) == asked_alone
    assert len(first_steps(several)) > 50
    assert first_steps(several) == first_steps(alone)
    assert np.bincount(several.step).tolist() == np.bincount(alone.step).tolist()
    assert np.bincount(several.verdict).tolist() == np.bincount(alone.verdict).tolist()
    assert summarise(several).total.statuses == summarise(alone).total.statuses
    assert (np.diff(several.samples.taken_s) >= 0).all()
    assert several.ended == "done"
    assert several.workers == 3


def test_clocks_that_differ_by_hours_begin_at_one_moment(server: Server, tmp_path: Path) -> None:
    scenario = shop(server, tmp_path, duration_s=0.1)
    skewed = {
        name: Skewed(member, skew_s)
        for (name, member), skew_s in zip(
            members(scenario, 3).items(), (0.0, 7_200.0, -9e5), strict=True
        )
    }
    run = conduct(scenario, skewed)
    told = [member.told for member in skewed.values()]
    assert max(told) - min(told) <= run.clocks_ms / 1e3 + 1e-6
    assert summarise(run).generator.clocks_ms == run.clocks_ms < 100


def test_lost_member_voids_the_run_and_is_named(server: Server, tmp_path: Path) -> None:
    scenario = shop(server, tmp_path, duration_s=30)
    three = members(scenario, 3)
    began = time.monotonic()
    run = conduct(scenario, {**three, "w1": Dying(three["w1"], 0.0)})
    assert time.monotonic() - began < 15
    assert run.ended == "aborted"
    assert "w1 (elsewhere, pid 7) was lost" in run.void_reason
    assert set((run.user % 3).tolist()) == {0, 2}  # what the others measured is there
    summary = summarise(run)
    assert not summary.passed
    assert "pid 7" in summary.generator.void_reason
    assert all(member.state().phase == "ended" for name, member in three.items() if name != "w1")


def test_condition_to_abort_is_judged_on_all_together(server: Server, tmp_path: Path) -> None:
    scenario = shop(server, tmp_path, duration_s=30, more='abort = ["requests > 60"]')
    run = conduct(scenario, members(scenario, 3))
    assert run.ended == "aborted"
    assert run.reason.startswith("requests > 60")
    assert run.seconds < 15


def test_interrupt_takes_home_what_was_measured(server: Server, tmp_path: Path) -> None:
    def interrupt(progress: object) -> None:
        if len(server.asked) > 20:
            raise KeyboardInterrupt

    scenario = shop(server, tmp_path, duration_s=30)
    run = conduct(scenario, members(scenario, 2), interrupt)
    assert run.ended == "interrupted"
    assert len(run.verdict) > 5
    assert not run.void_reason or "was lost" not in run.void_reason


def test_setup_that_fails_for_one_begins_nothing(server: Server, tmp_path: Path) -> None:
    async def refuse(asked: Asked, writer: asyncio.StreamWriter) -> None:
        if asked.target == "/login/1":
            writer.write(b"HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
        else:
            await answer(asked, writer)

    server.answer = refuse
    scenario = shop(server, tmp_path)
    with pytest.raises(LoadError, match="worker w1: setup of user 1: login ended as status"):
        conduct(scenario, members(scenario, 2))
    assert all(asked.target.startswith("/login") for asked in server.asked)
