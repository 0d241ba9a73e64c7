"""WebSocket scenarios on real hubs: what is counted, and what becomes of a hub that is lost."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from perflab.realtime.errors import RealtimeError
from perflab.realtime.scenarios import (
    SocketProgress,
    SocketRun,
    load_sockets,
    run_sockets,
    summarise_sockets,
)
from perflab.realtime.scenarios.numbered import number_of, numbered
from perflab.realtime.scenarios.tally import figures_of, seconds_of
from perflab.services import Redis

from .hubs import hub_of, scenario_file


def test_every_connection_gets_each_message_of_its_channel_once(
    redis_server: Redis, tmp_path: Path
) -> None:
    with hub_of(redis_server) as first, hub_of(redis_server) as second:
        target = f"{first.url}, {second.url}"
        # two hubs of channels of their own: who is on the other one gets nothing
        run = run_sockets(load_sockets(scenario_file(tmp_path), target=first.url))
        assert second.report().stats.opened == 0
        apart = run_sockets(load_sockets(scenario_file(tmp_path), target=target))
    figures = figures_of(run)
    assert (figures.connections, figures.published, figures.errors) == (20, 50, {})
    assert figures.expected == figures.delivered == 50 * 5
    assert (figures.missing, figures.duplicates) == (0, 0)
    assert (run.got_s > run.due_s[run.message]).all()
    assert (run.connection % 4 == run.channel[run.message]).all()
    assert figures_of(apart).missing > 0
    assert sum(second.delivered for second in seconds_of(run)) == 250
    assert sum(second.due for second in seconds_of(run)) == 50


def test_the_same_seed_sends_the_same_messages(redis_server: Redis, tmp_path: Path) -> None:
    text = scenario_file(tmp_path, duration_s=0.2).read_text().replace("constant", "poisson")
    (tmp_path / "sockets.toml").write_text(text)
    with hub_of(redis_server) as hub:
        runs = [
            run_sockets(load_sockets(tmp_path / "sockets.toml", target=hub.url, seed=seed))
            for seed in (5, 5, 6)
        ]
    assert runs[0].due_s.tolist() == runs[1].due_s.tolist() != runs[2].due_s.tolist()
    assert runs[0].channel.tolist() == runs[1].channel.tolist()


def test_thresholds_decide_whether_it_passed(redis_server: Redis, tmp_path: Path) -> None:
    more = 'thresholds = ["connections >= 20", "missing <= 0", "p95_ms < 0.001"]'
    with hub_of(redis_server) as hub:
        run = run_sockets(load_sockets(scenario_file(tmp_path, more=more), target=hub.url))
    summary = summarise_sockets(run)
    assert [threshold.holds for threshold in summary.thresholds] == [True, True, False]
    assert not summary.passed


def test_a_run_of_which_no_message_was_taken_has_not_passed(
    redis_server: Redis, tmp_path: Path
) -> None:
    with hub_of(redis_server) as hub:
        run = run_sockets(load_sockets(scenario_file(tmp_path), target=hub.url))
    assert summarise_sockets(run).answered
    silent = summarise_sockets(replace(run, accepted=run.accepted & False, unanswered=0))
    assert (silent.ended, silent.total.connections) == ("done", 20)
    assert not silent.answered
    assert not silent.passed


def test_connections_that_a_full_hub_refuses_are_counted(
    redis_server: Redis, tmp_path: Path
) -> None:
    with hub_of(redis_server, connections=15) as hub:
        path = scenario_file(tmp_path, more="timeout_s = 1")
        run = run_sockets(load_sockets(path, target=hub.url))
    figures = figures_of(run)
    assert figures.errors == {"connect": 5}
    assert figures.connections == 15
    assert figures.missing == 0, "who is not there misses nothing"


def test_a_hub_that_is_not_there_is_the_reason_and_no_hang(tmp_path: Path) -> None:
    path = scenario_file(tmp_path, connections=2_000, more="opening_at_once = 50\ntimeout_s = 1")
    began = time.monotonic()
    run = run_sockets(load_sockets(path, target="ws://127.0.0.1:1"))
    assert time.monotonic() - began < 30
    assert run.ended == "aborted"
    assert "no hub can be reached" in run.reason
    assert figures_of(run).errors == {"connect": 2_000}
    assert figures_of(run).error_rate == 1
    assert not summarise_sockets(run).passed


def test_a_token_that_no_hub_takes_is_the_reason(redis_server: Redis, tmp_path: Path) -> None:
    path = scenario_file(tmp_path)
    (tmp_path / "accounts.csv").write_text("hub_token\nforged-and-secret\n")
    with hub_of(redis_server) as hub:
        run = run_sockets(load_sockets(path, target=hub.url))
    assert run.ended == "aborted"
    assert "token" in run.reason
    assert "forged-and-secret" not in run.reason


def test_a_hub_that_dies_gives_errors_by_kind_and_the_run_ends(
    redis_server: Redis, tmp_path: Path
) -> None:
    path = scenario_file(
        tmp_path, duration_s=60, more='timeout_s = 1\nabort = ["error_rate > 0.3"]'
    )
    seen: list[SocketProgress] = []
    with hub_of(redis_server) as hub:

        def watch(state: SocketProgress) -> None:
            seen.append(state)
            if state.rate_per_s > 0:
                hub.kill()

        run = run_sockets(load_sockets(path, target=hub.url), watch)
    figures = figures_of(run)
    assert run.ended == "aborted"
    assert run.reason.startswith("error_rate > 0.3")
    assert run.seconds < 30
    assert set(figures.errors) == {"lost", "publish"}
    assert figures.errors["lost"] == 20
    assert figures.connections == 0
    assert figures.published > 0
    assert max(state.open for state in seen) == 20
    assert seen[-1].errors > 0


def test_an_interrupt_leaves_what_was_measured_so_far(redis_server: Redis, tmp_path: Path) -> None:
    def watch(state: SocketProgress) -> None:
        if state.rate_per_s > 0:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with hub_of(redis_server) as hub:
        run = run_sockets(
            load_sockets(scenario_file(tmp_path, duration_s=60), target=hub.url), watch
        )
    assert run.ended == "interrupted"
    assert run.seconds < 20
    assert figures_of(run).published > 0
    assert figures_of(run).errors == {}, "what was under way did not fail"


def test_too_few_open_files_are_an_error_before_anything_is_sent(tmp_path: Path) -> None:
    from perflab.descriptors import room_for

    path = scenario_file(tmp_path, connections=50_000)
    if room_for() > 50_000:
        pytest.skip("this process may open so many files")
    with pytest.raises(RealtimeError, match="open files"):
        run_sockets(load_sockets(path, target="ws://127.0.0.1:1"))


def counted(tmp_path: Path, **changes: Any) -> SocketRun:
    """Three connections on two channels, three messages, the last of which no hub took."""
    scenario = load_sockets(
        scenario_file(tmp_path, connections=3, channels=2),
        target="ws://127.0.0.1:1",
    )
    facts: dict[str, Any] = {
        "scenario": scenario,
        "opened": np.array([True, True, True]),
        "unopened": 0,
        "opening_s": 0.1,
        "lost": np.array([0, 0, 0]),
        "due_s": np.array([0.0, 0.1, 0.2]),
        "late_s": np.zeros(3),
        "channel": np.array([0, 1, 0]),
        "accepted": np.array([True, True, False]),
        "unanswered": 0,
        "message": np.array([0, 1, 0]),
        "connection": np.array([0, 1, 2]),
        "got_s": np.array([0.05, 0.16, 0.05]),
        "ended": "done",
        "reason": "",
        "seconds": 0.5,
        "busy_share": 0.1,
        "began_unix_s": 0.0,
    }
    return SocketRun(**(facts | changes))


def test_missing_and_twice_are_told_apart(tmp_path: Path) -> None:
    twice = {
        "message": np.array([0, 1, 0, 1]),
        "connection": np.array([0, 1, 2, 1]),
        "got_s": np.array([0.05, 0.16, 0.05, 0.3]),
    }
    figures = figures_of(counted(tmp_path, **twice))
    assert (figures.expected, figures.delivered, figures.duplicates) == (3, 3, 1)
    assert figures.errors == {"publish": 1}
    assert figures.latency.max_ms == pytest.approx(60), "the second copy is late for nobody"

    lost = {"message": np.array([1]), "connection": np.array([1]), "got_s": np.array([0.16])}
    assert figures_of(counted(tmp_path, **lost)).missing == 2


def test_what_may_be_under_way_is_not_missed_yet(tmp_path: Path) -> None:
    lost = {
        "message": np.array([0, 0]),
        "connection": np.array([0, 2]),
        "got_s": np.array([0.05, 0.05]),
    }
    run = counted(tmp_path, **lost)
    assert figures_of(run).missing == 1
    assert figures_of(run, settled_s=0.05).missing == 0


def test_a_run_that_was_its_own_limit_is_void(tmp_path: Path) -> None:
    for changes, word in (
        ({"busy_share": 0.95}, "busy for 95%"),
        ({"late_s": np.full(3, 0.5)}, "left 500.0 ms late"),
    ):
        summary = summarise_sockets(counted(tmp_path, **changes))
        assert word in summary.generator.void_reason
        assert not summary.passed


@pytest.mark.parametrize("size", [16, 200])
def test_a_message_has_its_size_and_says_its_number(size: int) -> None:
    data = numbered(123, size)
    assert len(data) == size
    assert number_of(data) == 123
    assert msgspec.json.decode(data)[0] == 123
    assert number_of(numbered(10**18, 16)) == 10**18, "rather too long than wrong"
