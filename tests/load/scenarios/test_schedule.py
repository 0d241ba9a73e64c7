"""Schedules of scenarios: the rates that are written, and the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perflab.load.scenarios import Scenario, load_scenario, schedule_of

FLOWS = """
[[flow]]
name = "short"
weight = 3
[[flow.request]]
name = "a"
path = "/"
[[flow]]
name = "long"
[[flow.request]]
name = "b"
path = "/"
[[flow.request]]
name = "c"
path = "/"
"""


def scenario(folder: Path, arrival: str, seed: int = 1) -> Scenario:
    path = folder / "s.toml"
    path.write_text(
        f'title = "t"\ntarget = "http://localhost:1"\nusers = 20\nduration_s = 100\nseed = {seed}\n'
        f"[arrival]\n{arrival}\n{FLOWS}"
    )
    return load_scenario(path)


@pytest.mark.parametrize(
    ("arrival", "edges", "requests"),
    [
        ('kind = "constant"\nrate_per_s = 125', [0, 100], [12_500]),
        ('kind = "poisson"\nrate_per_s = 125', [0, 100], [12_500]),
        ('kind = "ramp"\nfrom_per_s = 0\nto_per_s = 250', [0, 50, 100], [3_125, 9_375]),
        ('kind = "step"\nrates_per_s = [50, 0, 100, 150]', [0, 25, 50, 75, 100],
         [1_250, 0, 2_500, 3_750]),
        ('kind = "spike"\nbase_per_s = 25\npeak_per_s = 500\nat_s = 40\nspike_s = 10',
         [0, 40, 50, 100], [1_000, 5_000, 1_250]),
    ],
)  # fmt: skip
def test_requests_come_at_the_rates_of_the_file(
    arrival: str, edges: list[float], requests: list[int], tmp_path: Path
) -> None:
    flows = schedule_of(scenario(tmp_path, arrival))
    counts, _ = np.histogram(flows.due_s, bins=edges)
    expected = np.array(requests) / 1.25  # one flow in four has a second request
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected)).all()
    assert np.bincount(flows.flow).tolist() == pytest.approx(
        [0.75 * len(flows.flow), 0.25 * len(flows.flow)], rel=0.1
    )
    assert set(flows.user) == set(range(20))


def test_same_seed_same_load_and_another_seed_another(tmp_path: Path) -> None:
    arrival = 'kind = "poisson"\nrate_per_s = 10'
    one, same, other = (schedule_of(scenario(tmp_path, arrival, seed)) for seed in (1, 1, 2))
    for column in ("due_s", "flow", "user"):
        np.testing.assert_array_equal(getattr(one, column), getattr(same, column))
        assert not np.array_equal(getattr(one, column), getattr(other, column))


def test_even_spacing_has_the_exact_number(tmp_path: Path) -> None:
    arrival = 'kind = "ramp"\nfrom_per_s = 0\nto_per_s = 25\nspacing = "even"'
    assert len(schedule_of(scenario(tmp_path, arrival)).due_s) == 1_000
