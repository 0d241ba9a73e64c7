from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from perflab.measure.environment import (
    ServerFacts,
    add_environment,
    capture,
    environment_id,
    guarded,
    library_versions,
    read_environment,
    steadiness,
    write_environment,
)

MACHINE = ("Some CPU", 2, 25_276_510_208, "6.18.44-custom", "Debian GNU/Linux 12", "3.11.7")


@dataclass(frozen=True)
class FakeServer:
    rung: str = "embedded"
    version: str = "18.6"
    password: str = "hidden-from-everyone"
    settings: dict[str, str] = field(default_factory=lambda: {"shared_buffers": "512MB"})


def test_everything_that_must_travel_with_a_figure_is_captured(tmp_path: Path) -> None:
    environment = capture({"postgres": FakeServer()})
    assert environment.cpu_model
    assert environment.cpu_count == os.cpu_count()
    assert 1 <= environment.cpu_usable <= environment.cpu_count
    assert environment.memory_bytes > 2**28
    assert len(environment.load_average) == 3
    assert environment.kernel
    assert environment.libraries["numpy"]
    assert environment.servers == {
        "postgres": ServerFacts("embedded", "18.6", {"shared_buffers": "512MB"})
    }
    path = tmp_path / "run" / "environment.json"
    write_environment(path, environment)
    assert read_environment(path) == environment
    assert "hidden-from-everyone" not in path.read_text(encoding="utf-8")


def test_an_environment_without_servers_is_the_same_machine() -> None:
    assert capture().id == capture({"postgres": FakeServer()}).id
    assert capture().servers == {}


def test_the_id_outlives_patch_releases_and_a_few_bytes_of_memory() -> None:
    cpu, cores, memory, _kernel, system, _python = MACHINE
    assert environment_id(*MACHINE) == environment_id(
        cpu, cores, memory - 2**20, "6.19.1", system, "3.11.9"
    )


@pytest.mark.parametrize(
    ("position", "other"),
    [(0, "Other CPU"), (1, 4), (2, 2**34), (3, "7.0.1"), (4, "Debian GNU/Linux 13"), (5, "3.12.7")],
)
def test_the_id_tells_machines_apart(position: int, other: object) -> None:
    changed = [*MACHINE]
    changed[position] = other
    assert environment_id(*changed) != environment_id(*MACHINE)  # type: ignore[arg-type]  # MACHINE's own types


def test_libraries_on_the_measured_path_have_versions() -> None:
    versions = library_versions()
    assert {"perflab", "numpy", "psycopg", "redis"} <= versions.keys()
    assert all(version[0].isdigit() for version in versions.values())


def ticking(step_s: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step_s


@pytest.mark.parametrize(("share", "steady"), [(1.0, 1.0), (0.5, 0.5), (1.2, 1.0)])
def test_steadiness_is_cpu_time_over_wall_time(share: float, steady: float) -> None:
    wall = ticking(0.1)
    latest = 0.0

    def clock() -> float:
        nonlocal latest
        latest = next(wall)
        return latest

    assert steadiness(0.5, clock, lambda: share * latest) == pytest.approx(steady)


def test_what_servers_lack_is_kept_and_older_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "environment.json"
    write_environment(path, capture(lacks=["PostgreSQL 15 lacks sleep (since 16): it is tired"]))
    assert read_environment(path).lacks == ("PostgreSQL 15 lacks sleep (since 16): it is tired",)
    older = {k: v for k, v in json.loads(path.read_text()).items() if k != "lacks"}
    path.write_text(json.dumps(older))
    assert read_environment(path).lacks == ()


def test_a_part_that_ran_on_an_unsteady_machine_is_marked() -> None:
    spins = iter([0.99, 0.93])
    part = guarded(lambda: "figures", spin=lambda: next(spins))
    assert part.value == "figures"
    assert part.steadiness == 0.93
    assert part.warnings == ("unsteady machine: a busy loop got 93% of a core",)
    assert guarded(lambda: 1, spin=lambda: 0.96).warnings == ()


def test_a_later_notebook_of_a_run_adds_its_servers_to_the_earlier_ones(tmp_path: Path) -> None:
    path = tmp_path / "run" / "environment.json"
    told = capture()
    edge, old, new = (ServerFacts("embedded", version) for version in ("1.31", "17", "18"))

    add_environment(path, replace(told, servers={"edge": edge, "postgres": old}, lacks=("a", "b")))
    add_environment(path, replace(told, servers={"postgres": new}, lacks=("b", "c")))

    written = read_environment(path)
    assert written.servers == {"edge": edge, "postgres": new}
    assert written.lacks == ("a", "b", "c")
