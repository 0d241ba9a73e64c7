"""The machine's speed: timed, kept beside the best, and told where it was low."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from perflab.measure.speed import (
    SpeedError,
    Speedometer,
    SpeedRecord,
    best_speed,
    machine_speed,
    read_speed,
)


def test_speed_is_the_additions_of_a_loop_by_its_time() -> None:
    ticks = count()  # each loop takes one millisecond
    assert machine_speed(lambda: next(ticks) / 1000) == pytest.approx(20.0)


def test_one_interrupted_loop_changes_nothing() -> None:
    times: Iterator[float] = iter(sorted([n / 1000 for n in range(29)] + [7.0]))
    assert machine_speed(lambda: next(times)) == pytest.approx(20.0)


def test_the_best_of_each_machine_is_kept(tmp_path: Path) -> None:
    known = tmp_path / "cache" / "best.json"
    assert best_speed(known, "a", 10.0) == 10.0
    assert best_speed(known, "b", 7.0) == 7.0
    assert best_speed(known, "a", 9.0) == 10.0
    assert best_speed(known, "a", 12.0) == 12.0
    assert best_speed(known, "b", 1.0) == 7.0


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "other", "version": 1}'])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, content: str) -> None:
    known = tmp_path / "best.json"
    known.write_text(content)
    assert best_speed(known, "a", 10.0) == 10.0
    assert best_speed(known, "a", 5.0) == 10.0


def test_a_folder_that_takes_no_file_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert best_speed(tmp_path / "file" / "best.json", "a", 5.0) == 5.0


def test_looks_of_several_notebooks_come_together(tmp_path: Path) -> None:
    path, known = tmp_path / "speed.json", tmp_path / "best.json"
    best_speed(known, "here", 20.0)
    speeds = iter([10.0, 12.0, 20.0])
    first = Speedometer(path, known, "here", "01_database", lambda: next(speeds))
    first.look()
    first.look()
    Speedometer(path, known, "here", "03_cache", lambda: next(speeds)).look()
    seen = read_speed(path)
    assert seen.looks == {"01_database": (10.0, 12.0), "03_cache": (20.0,)}
    assert seen.best == 20.0
    assert seen.shares == (0.5, 0.6, 1.0)
    assert seen.middle == 12.0


def test_a_faster_look_becomes_the_best(tmp_path: Path) -> None:
    path, known = tmp_path / "speed.json", tmp_path / "best.json"
    speeds = iter([10.0, 16.0])
    meter = Speedometer(path, known, "here", "01_database", lambda: next(speeds))
    meter.look()
    assert read_speed(path).warnings == ()
    meter.look()
    assert read_speed(path).best == 16.0
    assert read_speed(path).warnings  # the first of them was slow, as is known now


@pytest.mark.parametrize(
    ("looks", "words"),
    [
        ((8.0, 10.0), ""),
        ((5.0, 7.9), "ran at 50% to 79% of the best speed that it has shown"),
        ((5.0, 7.9), "(a fixed loop, timed 2 times during the run)"),
        ((5.0,), "ran at 50% of the best speed that it has shown (a fixed loop, timed once"),
        ((5.0, 10.0, 9.0), "ran at 50% to 100% of"),
        ((), ""),
    ],
)
def test_a_slow_machine_is_told_in_one_sentence(looks: tuple[float, ...], words: str) -> None:
    warnings = SpeedRecord(best=10.0, looks={"01_database": looks}).warnings
    assert len(warnings) == bool(words)
    assert words in "".join(warnings)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    path = tmp_path / "speed.json"
    path.write_text('{"format": "perflab-speed", "version": 1, "best": "fast", "looks": {}}')
    with pytest.raises(SpeedError, match=r"speed\.json: Expected `float`, got `str`"):
        read_speed(path)
