from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.measure.comparison import compare
from perflab.measure.experiment import Arm, Draw, Experiment, ExperimentError, Operation, Params
from perflab.measure.samples import ARMS, SamplesError, read_parquet
from perflab.measure.statistics import Interval, NotEstimable


class Clock:
    """Stands still unless somebody works."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Lab:
    """Three arms that take known times and remember what they were asked."""

    clock: Clock = field(default_factory=Clock)
    asked: list[tuple[str, str, object]] = field(default_factory=list)

    def arm(self, name: str, factor: float) -> Arm:
        def call(operation: Operation, params: Params) -> int:
            self.asked.append((name, operation.name, params["size"]))
            self.clock.now_s += factor * float(str(params["size"]))
            return int(float(str(params["size"])))

        return Arm(name, call)

    def experiment(self, **changes: object) -> Experiment:
        plain = Experiment(
            before=self.arm("plain", 1.0),
            after=self.arm("indexed", 0.2),
            control=self.arm("indexed again", 0.2),
            operations=(
                Operation("small", "tasks", draw(1, 9)),
                Operation("large", "tasks", draw(10, 99)),
                Operation("other", "habits", draw(1, 99)),
            ),
            rounds=24,
            calls=4,
            warmup=2,
            seed=11,
            clock=self.clock,
        )
        return replace(plain, **changes)  # type: ignore[arg-type]  # names are the fields'


def draw(low: int, high: int) -> Callable[[np.random.Generator], Draw]:
    def drawn(rng: np.random.Generator) -> Draw:
        size = int(rng.integers(low, high + 1))
        return Draw({"size": size}, "light" if size < 50 else "heavy")

    return drawn


def test_latency_is_what_the_clock_says_and_warmup_is_not_counted() -> None:
    samples = Lab().experiment().run()
    factors = np.array([1.0, 0.2, 0.2])[samples.arm]
    assert samples.latency_s == pytest.approx(factors * samples.rows)
    assert len(samples) == 24 * 3 * 3 * 4


def test_arms_of_a_round_get_the_same_calls_in_the_same_order() -> None:
    lab = Lab()
    lab.experiment().run()
    size = 3 * (2 + 4)
    visits = [lab.asked[at : at + size] for at in range(0, len(lab.asked), size)]
    for at in range(0, len(visits), 3):
        trio = visits[at : at + 3]
        assert len({visit[0][0] for visit in trio}) == 3
        first, *others = [[call[1:] for call in visit] for visit in trio]
        assert all(other == first for other in others)
    assert len({tuple(call[1] for call in visit) for visit in visits}) > 1


def test_every_order_of_the_arms_comes_equally_often() -> None:
    samples = Lab().experiment(rounds=24, warmup=0).run()
    orders = [tuple(dict.fromkeys(samples.arm[samples.round == n])) for n in range(24)]
    assert sorted(orders.count(order) for order in set(orders)) == [4] * 6
    assert any(one != other for one, other in pairwise(orders))


def test_the_seed_decides_order_and_parameters() -> None:
    one, same, other = (Lab(), Lab(), Lab())
    assert np.array_equal(one.experiment().run().rows, same.experiment().run().rows)
    assert one.asked == same.asked
    other.experiment(seed=12).run()
    assert one.asked != other.asked


def test_more_draws_do_not_change_the_order_of_the_arms() -> None:
    few, many = (Lab().experiment(calls=calls).run() for calls in (1, 7))
    orders = [[tuple(dict.fromkeys(s.arm[s.round == n])) for n in range(24)] for s in (few, many)]
    assert orders[0] == orders[1]


def test_hooks_run_untimed_before_each_block_and_each_timed_call() -> None:
    lab = Lab()
    called: list[str] = []

    def hook(name: str) -> Callable[[], None]:
        def run() -> None:
            called.append(name)
            lab.clock.now_s += 1_000

        return run

    after = replace(lab.arm("cold", 0.2), before_block=hook("block"), before_call=hook("call"))
    samples = lab.experiment(after=after).run()
    assert samples.latency_s.max() < 1_000
    assert called.count("block") == 24
    assert called.count("call") == 24 * 3 * 4


def test_garbage_is_not_collected_under_the_clock_and_is_again_afterwards() -> None:
    lab = Lab()
    seen: list[bool] = []

    def call(operation: Operation, params: Params) -> int:
        seen.append(gc.isenabled())
        raise RuntimeError("the server went away")

    with pytest.raises(RuntimeError, match="went away"):
        lab.experiment(before=Arm("b", call), after=Arm("a", call), control=Arm("c", call)).run()
    assert seen == [False]
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rounds": 0}, "rounds=0: must be at least 1"),
        ({"calls": 0}, "calls=0: must be at least 1"),
        ({"warmup": -1}, "warmup=-1: must be at least 0"),
        ({"operations": ()}, "needs at least one operation"),
        ({"operations": (Operation("a", "g", draw(1, 2)),) * 2}, "'a' is listed twice"),
    ],
)
def test_an_experiment_that_cannot_be_run_is_refused(
    changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ExperimentError, match=message):
        Lab().experiment(**changes)


def test_progress_ends_complete() -> None:
    steps: list[tuple[str, int, int]] = []
    Lab().experiment(rounds=3).run(lambda *step: steps.append(step))
    assert steps[0] == ("round 1 of 3", 0, 3)
    assert steps[-1][1:] == (3, 3)


def test_a_comparison_finds_a_known_ratio_in_every_subset() -> None:
    samples = Lab().experiment().run()
    for subset in (
        compare(samples),
        compare(samples, groups=["tasks"]),
        compare(samples, operations=["small", "other"]),
        compare(samples, selectivities=["light"]),
    ):
        for statistic in (subset.mean, subset.median):
            assert isinstance(statistic, Interval)
            assert statistic.estimate == pytest.approx(0.2)
            assert statistic.hi - statistic.lo == pytest.approx(0, abs=1e-9)
        assert isinstance(subset.aa.mean, Interval)
        assert subset.aa.mean.estimate == pytest.approx(1.0)
        assert subset.noise_floor_percent() == pytest.approx(0, abs=1e-9)
        assert isinstance(subset.p99, NotEstimable)


def test_a_subset_counts_its_own_samples_and_blocks() -> None:
    samples = Lab().experiment().run()
    assert compare(samples, groups=["tasks"]).n == 24 * 4 * 2
    assert compare(samples, operations=["other"]).n == 24 * 4
    light, heavy = (compare(samples, selectivities=[s]).n for s in ("light", "heavy"))
    assert light + heavy == compare(samples).n


def test_the_same_samples_give_the_same_comparison() -> None:
    assert compare(Lab().experiment().run()) == compare(Lab().experiment().run())


def test_names_that_were_not_measured_are_refused() -> None:
    samples = Lab().experiment(rounds=1).run()
    with pytest.raises(SamplesError, match="group 'notes' was not measured; measured: tasks, hab"):
        compare(samples, groups=["notes"])
    with pytest.raises(SamplesError, match="no timed call"):
        compare(samples, operations=[])
    with pytest.raises(TypeError, match="collection"):
        compare(samples, groups="tasks")


def test_operations_whose_answers_differ_between_arms_are_named() -> None:
    lab = Lab()

    def wrong(operation: Operation, params: Params) -> int:
        return 0 if operation.name == "other" else int(float(str(params["size"])))

    assert lab.experiment().run().unequal_operations() == ()
    assert lab.experiment(after=Arm("wrong", wrong)).run().unequal_operations() == ("other",)


@given(rounds=st.integers(1, 9), calls=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_samples_survive_parquet(
    tmp_path_factory: pytest.TempPathFactory, rounds: int, calls: int, seed: int
) -> None:
    samples = Lab().experiment(rounds=rounds, calls=calls, seed=seed).run()
    path = tmp_path_factory.mktemp("samples") / "some" / "samples.parquet"
    samples.write_parquet(path)
    back = read_parquet(path)
    for name in samples.__dataclass_fields__:
        assert np.array_equal(getattr(samples, name), getattr(back, name)), name
        if isinstance(getattr(samples, name), np.ndarray):
            assert getattr(samples, name).dtype == getattr(back, name).dtype, name
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_frame_names_arms_operations_and_groups() -> None:
    samples = Lab().experiment(rounds=2).run()
    frame = samples.to_frame()
    assert len(frame) == len(samples)
    assert list(frame["arm"].cat.categories) == list(ARMS)
    assert set(frame.loc[frame["operation"] == "other", "group"]) == {"habits"}


def test_files_that_hold_no_samples_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.parquet"
    with pytest.raises(SamplesError, match="can be read"):
        read_parquet(path)
    path.write_bytes(b"nothing")
    with pytest.raises(SamplesError, match="can be read"):
        read_parquet(path)
    Lab().experiment(rounds=1).run().to_frame().to_parquet(path)
    with pytest.raises(SamplesError, match="no samples of version 1"):
        read_parquet(path)
