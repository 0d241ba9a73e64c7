"""The study of real time on a small crowd: what it counts, and what it would notice."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from perflab.errors import ConfigError
from perflab.measure.claims import load_claims
from perflab.measure.comparison import Comparison
from perflab.measure.comparison import compare as compare_samples
from perflab.measure.experiment import Arm, Draw, Experiment, Operation
from perflab.measure.results import Origin
from perflab.measure.statistics import Interval
from perflab.profiles import RealtimeSizes, load_profiles
from perflab.realtime.client import Outage
from perflab.realtime.hub import HubSettings
from perflab.realtime.scenarios.numbered import number_of
from perflab.report.not_run import NotRun
from perflab.services import Redis, Services
from perflab.studies import realtime as study
from perflab.studies.realtime.delivery import (
    Delivery,
    Ramp,
    measure_load,
    plan_streams,
    rooms,
)
from perflab.studies.realtime.hot import batching_frame
from perflab.studies.realtime.knee import Knee, knee_frame, measure_knee
from perflab.studies.realtime.losses import Loss, cut_all, kill_one, measure_loss
from perflab.studies.realtime.many import Many
from perflab.studies.realtime.publishing import Published, compare, message
from perflab.studies.realtime.stage import Stage, spent, stage
from perflab.studies.realtime.thousand import Thousand
from perflab.studies.realtime.verdicts import verdict_frame

FIXTURE = Path(__file__).parents[2] / "fixtures" / "profiles.toml"
ORIGIN = Origin(
    notebook="05_realtime",
    run_id="test",
    profile="smoke",
    seed=1,
    environment_id="test",
    rung="embedded",
    server_version="test",
)


@pytest.fixture(scope="module")
def sizes() -> RealtimeSizes:
    return load_profiles(FIXTURE)["smoke"].realtime


def published(*rows: tuple[int, str, str, float, bool], seconds: float = 1.0) -> Published:
    frame = pd.DataFrame(rows, columns=["id", "channel", "lane", "due", "failed"])
    return Published(frame.assign(late_s=0.0), seconds)


def deliveries(*rows: tuple[int, int, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["who", "id", "got"])


def test_what_is_missing_or_came_twice_is_counted_client_by_client() -> None:
    sent = published(
        (1, "a", "normal", 10.0, False),
        (2, "b", "critical", 10.5, False),
        (3, "a", "normal", 10.9, True),  # never left
    )
    came = deliveries((7, 1, 10.010), (8, 1, 10.020), (8, 1, 10.030), (9, 2, 10.504), (7, 9, 11.0))
    arrived = compare(sent, came, {"a": 3, "b": 1}.__getitem__)
    assert (arrived.published, arrived.expected, arrived.delivered) == (2, 4, 3)
    assert (arrived.missing, arrived.duplicates) == (1, 1)
    assert sorted(arrived.lane("normal")["ms"]) == pytest.approx([10.0, 20.0])
    assert list(arrived.lane("critical")["ms"]) == pytest.approx([4.0])


def step(rate: int, p99_ms: float, *, missing: int = 0, late_s: float = 0.0) -> Delivery:
    """A load of one second, all of whose deliveries took the same time."""
    rows = [(number, "a", "normal", number / rate, False) for number in range(rate)]
    sent = published(*rows)
    sent.messages["late_s"] = late_s
    came = deliveries(*((0, n, n / rate + p99_ms / 1e3) for n in range(rate - missing)))
    hubs = pd.DataFrame({"frames": [1], "deliveries": [1], "busy_percent": [50.0]})
    return Delivery(f"×{rate}", 0.05, sent, compare(sent, came, lambda _: 1), hubs)


@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (step(300, 101.0), "p99 101 ms"),
        (step(300, 50.0, missing=2), "2 deliveries did not come"),
        (step(300, 50.0, late_s=0.02), "the publisher was 20 ms late (p99)"),
    ],
)
def test_the_highest_rate_is_the_last_before_one_that_was_not_held(
    last: Delivery, reason: str
) -> None:
    plan, faster = step(100, 60.0), step(200, 99.0)
    knee = Knee((plan, faster, last, step(400, 10.0)))
    assert knee.held == (plan, faster)
    assert knee.highest == (faster,)
    assert list(knee_frame(knee)["held"]) == ["held", "held", reason, "held"]
    assert "up to 200 deliveries a second" in study.knee_table(knee).title
    assert Knee((plan, last)).highest == (), "no other than the plan's"
    assert "not even" in study.knee_table(Knee((last,))).title


def test_a_message_has_its_size_and_says_its_number() -> None:
    data = message(123, 4.5, 200)
    assert len(data) == 200
    assert data.startswith(b'[123,4.500000,"')
    assert number_of(data) == 123


def test_detection_and_reconnection_are_apart_and_who_is_not_back_has_no_time() -> None:
    outages = (
        Outage(heard_at=9.0, detected_at=11.0, url="", reason="", back_at=11.5),
        Outage(heard_at=9.0, detected_at=12.0, url="", reason=""),
    )
    loss = Loss("a test", 5, 10.0, outages, 0, None, (1, 2))
    assert list(loss.detection_s) == [1.0, 2.0]
    assert list(loss.reconnect_s) == [0.5]
    row = loss.row()
    assert (row["hit"], row["back"], row["balance"]) == (2, 1, "1 / 2")


def test_the_plans_load_arrives_whole_and_lanes_differ_by_the_interval(
    redis_server: Redis, sizes: RealtimeSizes
) -> None:
    with stage(redis_server, HubSettings(batch_interval_s=0.1)) as opened:
        channels = rooms(sizes.clients, sizes)
        crowd = opened.crowd(sizes.clients, channels, seed=1)
        streams = plan_streams(channels, sizes.rate_per_min)
        found = measure_load(opened, dict.fromkeys(channels, crowd), streams, 0.6, "100 ms")
        assert found.arrived.missing == found.arrived.duplicates == 0
        assert found.arrived.delivered == 60 * sizes.subscribers
        assert sum(found.hubs["deliveries"]) == found.arrived.delivered
        normal, critical = (found.arrived.lane(lane)["ms"] for lane in ("normal", "critical"))
        assert normal.median() > critical.median() + 10
        knee = measure_knee(opened, crowd, sizes, found)
        for later in knee.steps[1:]:
            assert later.arrived.missing == later.arrived.duplicates == 0
            assert later.published.per_min == 2 * found.published.per_min
        for what, strike, hit in (("cut", cut_all, sizes.clients), ("killed", kill_one, None)):
            left = slice(1, None) if what == "killed" else slice(None)
            loss = measure_loss(what, opened, crowd, sizes, strike, left=left)
            assert loss.arrived is not None
            assert loss.arrived.missing == loss.arrived.duplicates == loss.gaps == 0
            assert sum(loss.connections) == sizes.clients
            assert len(loss.reconnect_s) == len(loss.outages) > 0
            assert hit is None or len(loss.outages) == hit
            assert (loss.detection_s >= 0).all()
    assert found.interval_s == 0.1
    judged = study.judge(load_claims(), thousand(found, loss), made_up_pooling(), ORIGIN)
    assert len(judged) == 8
    judged += study.judge_settings(load_claims(), ORIGIN)
    frame = verdict_frame(judged, load_claims())
    assert set(frame["verdict"]) <= {"met", "missed", "cannot tell", "void"}
    by_claim = frame.set_index("claim")
    assert by_claim.loc["realtime.heartbeat.interval", "measured"] == 30
    assert by_claim.loc["realtime.connections.count", "verdict"] == "missed", "a few, not 1,000"
    assert "missed" in str(study.plan_table(judged, load_claims()))


def thousand(found: Delivery, loss: Loss) -> Thousand:
    ramp = Ramp(40, 1.0, np.array([1.0, 2.0]), 10_000.0, 1.0, 0.5)
    return Thousand(ramp, found, Knee((found,)), found, loss, loss)


def made_up_pooling() -> Comparison:
    clock = iter(np.arange(10_000) * 0.001)
    arms = [Arm(name, lambda operation, params: 1) for name in ("each", "kept", "again")]
    operation = Operation("publish", "publish", lambda rng: Draw())
    return compare_samples(
        Experiment(
            before=arms[0],
            after=arms[1],
            control=arms[2],
            operations=[operation],
            rounds=20,
            calls=1,
            clock=lambda: float(next(clock)),
        ).run()
    )


def test_pooling_saves_the_handshake(redis_server: Redis, sizes: RealtimeSizes) -> None:
    pooling = study.measure_pooling(redis_server, sizes, 1)
    for comparison in (pooling.kept, pooling.several):
        assert comparison.n == sizes.rounds * sizes.calls
        assert isinstance(comparison.ratio.mean, Interval)
    assert len(study.pooling_table(pooling).shown) == 2


def test_after_redis_was_away_everybody_was_told(
    own_services: Services, sizes: RealtimeSizes
) -> None:
    restart = study.measure_redis(own_services.redis, sizes, 1)
    assert not isinstance(restart, NotRun)
    assert restart.told == restart.clients == sizes.small_clients
    assert restart.disconnected == 0
    assert restart.resumed_s > 0


def test_batches_are_fewer_frames_with_the_same_messages(
    redis_server: Redis, sizes: RealtimeSizes
) -> None:
    frame = batching_frame(study.measure_batching(redis_server, sizes, 1))
    at_once, batches = frame.to_dict("records")
    assert at_once["deliveries"] == batches["deliveries"] == at_once["frames"]
    assert batches["frames"] < at_once["frames"]
    assert at_once["missing"] == batches["missing"] == 0


def test_a_stage_leaves_no_process_behind(redis_server: Redis) -> None:
    opened: Stage
    with stage(redis_server, HubSettings(), hubs=1) as opened:
        crowd = opened.crowd(2, ["a"])
        before = opened.reports()
        assert before[0].stats.connections == 2
        assert spent(before, opened.reports())["deliveries"].sum() == 0
        assert crowd.subscribers("a") == 2
        pids = [hub.pid for hub in opened.hubs]
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_many_connections_are_counted_where_the_profile_and_the_machine_have_them(
    redis_server: Redis, sizes: RealtimeSizes
) -> None:
    def measured(clients: int) -> Many | NotRun:
        return study.measure_many(
            redis_server, msgspec.structs.replace(sizes, many_clients=clients), 1
        )

    assert "10,000 connections (the profile full has them)" in str(measured(0))
    assert "open files" in str(measured(1_000_000_000))
    many = measured(60)
    assert not isinstance(many, NotRun)
    assert many.ramp.connections == 60
    assert many.plan.arrived.missing == many.plan.arrived.duplicates == 0
    table = study.many_table(many)
    assert not isinstance(table, NotRun)
    shown = table.shown
    assert shown["required at 10,000"].tolist().count("") == len(shown) - 2


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("knee = [2.0]", "knee = []"),
        ("knee = [2.0]", "knee = [3.0, 2.0]"),
        ("knee = [2.0]", "knee = [1.0, 2.0]"),
        ("many_clients = 0", "many_clients = 9"),
        ("knee_s = 0.3", "knee_s = 0.0"),
    ],
)
def test_sizes_that_nothing_can_be_measured_at_are_refused(
    tmp_path: Path, line: str, wrong: str
) -> None:
    text = FIXTURE.read_text()
    assert text.count(line) == 1
    path = tmp_path / "profiles.toml"
    path.write_text(text.replace(line, wrong))
    with pytest.raises(ConfigError, match=wrong.split()[0]):
        load_profiles(path)
