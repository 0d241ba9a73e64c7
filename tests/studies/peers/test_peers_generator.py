"""The generator section: equal work is checked, an idle core voids, a race runs on real nginx."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from perflab.services import Nginx, open_services
from perflab.studies.peers.contest import ContestError
from perflab.studies.peers.generator import judge_lateness, judge_race, race_table, run_race
from perflab.studies.peers.generator.driven import AIOHTTP, LOCUST, PERFLAB, Effort, Order
from perflab.studies.peers.generator.race import AGAIN, TRIES, WRK, Race, _wrk, busy_effort


def efforts(requests: int, cpu_s: float = 1.0, late_ms: float = 0.0) -> tuple[Effort, ...]:
    return (Effort(requests, cpu_s, 1.0, late_ms / 1e3),) * 3


def race(**changes: Any) -> Race:
    sides = {
        PERFLAB: efforts(40_000),
        AGAIN: efforts(40_000),
        WRK: efforts(44_000),
        AIOHTTP: efforts(12_000),
        LOCUST: efforts(8_000),
    }
    return Race(sides | changes, efforts(1_000, late_ms=0.1))


def words(found: Race) -> list[str]:
    return [one.verdict.word for one in judge_race(found)]


def test_targets_are_judged_on_requests_of_a_cpu_second() -> None:
    assert words(race()) == ["met", "met", "met"]
    assert words(race(**{WRK: efforts(51_000)})) == ["missed", "met", "met"]
    assert words(race(**{AIOHTTP: efforts(14_000)})) == ["met", "missed", "met"]


def test_idle_core_voids_its_row_alone_and_ours_all() -> None:
    assert words(race(**{WRK: efforts(44_000, 0.94)})) == ["void", "met", "met"]
    assert words(race(**{PERFLAB: efforts(40_000, 0.94)})) == ["void", "void", "void"]
    (first, *_) = judge_race(race(**{WRK: efforts(44_000, 0.94)}))
    assert "wrk kept its core busy for 94% of the time only" in first.verdict.reason


def test_load_that_was_kept_waiting_is_made_again_and_the_busiest_stays() -> None:
    def effort_of(busy: list[float]) -> tuple[float, int]:
        left = iter(busy)
        found = busy_effort(lambda: Effort(1_000, next(left), 1.0))
        return found.busy, len(list(left))

    assert effort_of([0.3, 0.96, 0.99]) == (0.96, 1)
    assert effort_of([0.3, 0.5, 0.4, 0.2, 0.99]) == (0.5, 5 - TRIES)


def test_without_wrk_there_is_no_row_for_it() -> None:
    sides = {name: made for name, made in race().efforts.items() if name != WRK}
    assert len(list(judge_race(Race(sides, efforts(1_000))))) == 2


def test_ours_measured_twice_and_different_cannot_tell() -> None:
    assert words(race(**{AGAIN: efforts(30_000)})) == ["cannot tell"] * 3


def test_lateness_is_judged_by_itself() -> None:
    assert judge_lateness(race()).verdict.word == "met"
    late = Race(race().efforts, efforts(1_000, late_ms=0.3))
    assert judge_lateness(late).verdict.word == "missed"


def test_best_generator_stands_first() -> None:
    assert race_table(race()).shown["generator"].tolist()[0] == WRK


def wrk_that_says(folder: Path, text: str) -> str:
    program = folder / "wrk"
    program.write_text(f"#!/bin/sh\ncat <<END\n{text}\nEND\n")
    program.chmod(0o755)
    return str(program)


def test_wrk_is_read_and_bad_answers_are_no_contest(tmp_path: Path) -> None:
    order = Order(9, 1, 1.0)
    effort = _wrk(wrk_that_says(tmp_path, "  44123 requests in 1.10s, 6.1MB read"), order)
    assert effort.requests == 44_123
    assert 0 < effort.cpu_s < effort.wall_s * (os.cpu_count() or 1)
    for text in ("unable to connect", "  9 requests in 1.00s\n  Non-2xx or 3xx responses: 9"):
        with pytest.raises(ContestError, match="no good answers"):
            _wrk(wrk_that_says(tmp_path, text), order)


@pytest.fixture(scope="module")
def nginx() -> Iterator[Nginx]:
    with open_services("embedded", only=["edge"]) as opened:
        yield opened.edge


def test_every_generator_gets_answers_from_a_real_nginx(
    nginx: Nginx, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp", reason="the extra `peers` is not installed")
    if not _installed("locust"):
        pytest.skip("the extra `peers` is not installed")
    monkeypatch.setattr("perflab.studies.peers.generator.race.shutil.which", lambda _name: None)
    before = os.sched_getaffinity(0)
    found = run_race(nginx, 3, 1, seconds=0.1)
    assert os.sched_getaffinity(0) == before
    assert set(found.efforts) == {PERFLAB, AGAIN, AIOHTTP, LOCUST}
    assert all(len(each) == 3 for each in found.efforts.values())
    assert all(one.requests > 0 and one.cpu_s > 0 for each in found.efforts.values()
               for one in each)  # fmt: skip
    assert [one.requests for one in found.punctual] == [100] * 3
    assert all(one.late_p99_s > 0 for one in found.punctual)


def _installed(name: str) -> bool:
    """Without importing it: Locust changes the standard library of whoever does."""
    import importlib.util

    return importlib.util.find_spec(name) is not None
