"""Scenarios run against a server: journeys, verdicts, ends."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from perflab.load import LoadError
from perflab.load.scenarios import (
    VERDICTS,
    Run,
    extract,
    load_scenario,
    part,
    run_scenario,
    summarise,
)

from ..server import Answer, Asked, Server, serving

FLOW = """
[[flow]]
name = "visit"
[[flow.request]]
name = "ask"
path = "/ask"
"""


def scenario_text(
    tail: str = FLOW,
    *,
    arrival: str = 'kind = "constant"\nrate_per_s = 100',
    users: int = 5,
    duration_s: float = 0.3,
    more: str = "",
) -> str:
    return (
        f'title = "t"\nusers = {users}\nduration_s = {duration_s}\n{more}\n[arrival]\n{arrival}\n'
        + tail
    )


def run_against(server: Server, folder: Path, text: str) -> Run:
    path = folder / "s.toml"
    path.write_text(text)
    return run_scenario(load_scenario(path, target=f"http://127.0.0.1:{server.port}"))


def say(
    writer: asyncio.StreamWriter, body: bytes = b"{}", status: int = 200, more: str = ""
) -> None:
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    writer.write(head.encode() + body)


def verdicts(run: Run, step: str = "") -> Counter[str]:
    numbers = {one.name: one.number for one in run.scenario.steps}
    keep = run.step == numbers[step] if step else np.ones(len(run.step), dtype=bool)
    return Counter(VERDICTS[code] for code in run.verdict[keep])


SHOP = """
[feeder.account]
rows = [{rows}]

[[setup]]
name = "login"
method = "POST"
path = "/login"
json = {{ email = "${{account.email}}", number = "${{user}}" }}
capture = {{ token = {{ json = "token" }} }}

[[flow]]
name = "visit"
[[flow.request]]
name = "list"
path = "/list"
headers = {{ authorization = "Bearer ${{token}}" }}
capture = {{ id = {{ json = "items.1.id" }}, where = {{ header = "Location" }} }}
[[flow.request]]
name = "open"
path = "/item/${{id}}?of=${{account.email}}"
check = [{{ json = "id", equals = "a b" }}, {{ regex = "b" }}, {{ header = "etag" }}]
[[flow.request]]
name = "follow"
path = "${{where}}"
method = "POST"
body = "${{unique}} $$"
"""


async def shop(asked: Asked, writer: asyncio.StreamWriter) -> None:
    if asked.target == "/login":
        given = json.loads(asked.body)
        assert given["email"] == f"u&{given['number']}"
        say(writer, json.dumps({"token": f"t{given['number']}"}).encode())
    elif asked.target == "/list":
        say(writer, b'{"items":[{},{"id":"a b"}]}', more="Location: /x/y\r\n")
    else:
        say(writer, b'{"id":"a b"}', more="ETag: 1\r\n")


def test_captured_and_fed_values_reach_later_requests_of_the_same_user(tmp_path: Path) -> None:
    rows = ", ".join(f'{{ email = "u&{n}" }}' for n in range(40))
    with serving(shop) as server:
        text = scenario_text(SHOP.format(rows=rows), users=40, duration_s=0.4)
        run = run_against(server, tmp_path, text)
    assert set(verdicts(run)) == {"good"}
    logins = [asked for asked in server.asked if asked.target == "/login"]
    assert sorted(json.loads(a.body)["number"] for a in logins) == list(range(40))
    lists = [asked for asked in server.asked if asked.target == "/list"]
    tokens = sorted(asked.fields["authorization"] for asked in lists)
    users = [f"Bearer t{user}" for user in run.user[run.step == 0]]
    assert tokens == sorted(users)
    opened = {asked.target for asked in server.asked if asked.target.startswith("/item")}
    assert opened == {f"/item/a%20b?of=u%26{user}" for user in set(run.user[run.step == 1])}
    bodies = [asked.body for asked in server.asked if asked.target == "/x/y"]
    assert len(set(bodies)) == len(bodies) == len(lists), "unique is unique"
    assert all(body.endswith(b" $") for body in bodies)


def test_requests_of_flows_together_come_at_the_rate_that_is_given(tmp_path: Path) -> None:
    rows = ", ".join(f'{{ email = "u&{n}" }}' for n in range(5))
    arrival = 'kind = "constant"\nrate_per_s = 300'
    with serving(shop) as server:
        run = run_against(server, tmp_path, scenario_text(SHOP.format(rows=rows), arrival=arrival))
    assert verdicts(run, "list")["good"] == 30, "100 flows a second, of 3 requests each"


JUDGED = """
[[flow]]
name = "visit"
[[flow.request]]
name = "first"
path = "/first"
{first}
[[flow.request]]
name = "second"
path = "/second"
"""


@pytest.mark.parametrize(
    ("status", "first", "verdict"),
    [
        (200, "", "good"),
        (304, "", "good"),
        (404, "", "status"),
        (429, "", "refused"),
        (404, "expect = [404]", "good"),
        (200, "expect = [404]", "status"),
        (429, "expect = [429]", "good"),
        (200, 'check = [{ json = "n", equals = 1 }]', "good"),
        (200, 'check = [{ json = "n", equals = 2 }]', "check"),
        (200, 'check = [{ json = "n.m" }]', "check"),
        (200, 'check = [{ regex = "nothing" }]', "check"),
        (200, 'check = [{ header = "etag" }]', "check"),
        (200, 'capture = { x = { json = "x" } }', "check"),
        (200, 'capture = { x = { json = "n" } }', "good"),
    ],
)
def test_verdict_on_an_answer_and_only_a_good_one_goes_on(
    status: int, first: str, verdict: str, tmp_path: Path
) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer, b'{"n":1}' if status != 304 else b"", status)

    with serving(answer) as server:
        text = scenario_text(JUDGED.format(first=first), duration_s=0.1)
        run = run_against(server, tmp_path, text)
    assert set(verdicts(run, "first")) == {verdict}
    assert bool(verdicts(run, "second")) == (verdict == "good")


def test_refusal_is_neither_an_error_nor_throughput_nor_a_time(tmp_path: Path) -> None:
    numbers = iter(range(10_000))

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer, status=429 if next(numbers) % 4 == 0 else 200)

    with serving(answer) as server:
        figures = part(run_against(server, tmp_path, scenario_text(duration_s=0.4)))
    assert (figures.requests, figures.good, figures.refused) == (40, 30, 10)
    assert figures.error_rate == 0
    assert figures.refused_share == 0.25
    assert figures.throughput_per_s == pytest.approx(75, rel=0.1)


async def dies(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def hangs(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("answer", "kinds"), [(dies, {"reset"}), (hangs, {"timeout", "dropped"}), (None, {"connect"})]
)
@pytest.mark.parametrize(
    "arrival", ['kind = "constant"\nrate_per_s = 100', 'kind = "closed"\nthink_s = 0.02']
)
def test_dying_target_gives_errors_by_kind_and_no_hang(
    answer: Answer | None, kinds: set[str], arrival: str,
    tmp_path: Path,
) -> None:  # fmt: skip
    text = scenario_text(arrival=arrival, more="timeout_s = 0.2")
    began = time.monotonic()
    with serving(answer or dies) as server:
        if answer is None:
            server.port = 1
        run = run_against(server, tmp_path, text)
    assert time.monotonic() - began < 3
    assert set(verdicts(run)) <= kinds
    assert sum(part(run).errors.values()) == len(run.verdict) > 0
    assert not summarise(run).total.good


def test_setup_that_fails_ends_it_before_the_load_and_says_whose(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer, status=401)

    rows = ", ".join(f'{{ email = "u{n}" }}' for n in range(5))
    with serving(answer) as server, pytest.raises(LoadError, match=r"login .*status \(status 401"):
        run_against(server, tmp_path, scenario_text(SHOP.format(rows=rows)))
    assert {asked.target for asked in server.asked} == {"/login"}


def test_captured_value_that_http_does_not_allow_is_an_error_of_the_load(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer, b'{"n":"a\\r\\nX: 1"}')

    text = scenario_text(
        JUDGED.format(first='capture = { n = { json = "n" } }') + 'headers = { x-n = "${n}" }\n'
    )
    with serving(answer) as server, pytest.raises(LoadError, match="x-n must be one line"):
        run_against(server, tmp_path, text)


def test_abort_condition_ends_the_run_and_is_named(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer, status=500)

    text = scenario_text(duration_s=30, more='abort = ["error_rate > 0.5"]')
    with serving(answer) as server:
        run = run_against(server, tmp_path, text)
    assert run.ended == "aborted"
    assert run.reason == "error_rate > 0.5: 1"
    assert run.seconds < 5
    assert not summarise(run).passed


def test_interrupt_leaves_what_was_measured_so_far(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    timer = threading.Timer(0.5, interrupt)
    with serving(answer) as server:
        timer.start()
        run = run_against(server, tmp_path, scenario_text(duration_s=60))
    assert run.ended == "interrupted"
    assert run.seconds < 5
    assert verdicts(run)["good"] > 5
    assert summarise(run).total.throughput_per_s == pytest.approx(100, rel=0.3)


def test_thresholds_decide_whether_it_passed(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    def passed(*conditions: str) -> list[bool]:
        text = scenario_text(duration_s=0.1, more=f"thresholds = {list(conditions)}")
        return [threshold.holds for threshold in summarise(run_against(server, tmp_path, text))
                .thresholds]  # fmt: skip

    with serving(answer) as server:
        assert passed("p95_ms < 5000", "ask: requests >= 10", "error_rate <= 0") == [True] * 3
        assert passed("p95_ms < 0.0001", "requests > 10") == [False] * 2


def test_time_that_was_not_measured_fails_its_threshold(tmp_path: Path) -> None:
    with serving(dies) as server:
        run = run_against(
            server,
            tmp_path,
            scenario_text(duration_s=0.1, more='thresholds = ["p95_ms < 1e9", "p95_ms > 0"]'),
        )
    assert [threshold.holds for threshold in summarise(run).thresholds] == [False, False]


def test_closed_users_wait_for_their_answer_and_think(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        say(writer)

    arrival = 'kind = "closed"\nthink_s = 0.03\nthink = "constant"'
    with serving(answer) as server:
        run = run_against(server, tmp_path, scenario_text(arrival=arrival, duration_s=0.5, users=3))
    assert server.most_open == 3
    assert 3 * 5 <= len(run.verdict) <= 3 * 11, "a cycle takes at least 50 ms"
    for user in range(3):
        mine = run.user == user
        starts, ends = run.samples.started_s[mine], run.samples.ended_s[mine]
        assert (starts[1:] >= ends[:-1] + 0.03).all()


def test_users_who_think_pause_exponentially(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    arrival = 'kind = "closed"\nthink_s = 0.05'
    with serving(answer) as server:
        text = scenario_text(arrival=arrival, duration_s=0.6, users=20)
        run = run_against(server, tmp_path, text)
    pauses = np.concatenate(
        [
            run.samples.scheduled_s[mine][1:] - run.samples.ended_s[mine][:-1]
            for mine in (run.user == user for user in range(20))
        ]
    )
    assert len(pauses) > 50
    assert pauses.min() >= 0
    assert 0.02 < pauses.mean() < 0.08
    assert pauses.std() > 0.4 * pauses.mean(), "an exponential's is its mean"


def test_pause_before_a_request_is_no_part_of_its_latency(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    text = scenario_text(JUDGED.format(first="") + "think_s = 0.1\n", duration_s=0.4)
    with serving(answer) as server:
        run = run_against(server, tmp_path, text)
    second = run.step == 1
    assert run.samples.scheduled_s[second].min() >= 0.1
    assert np.median(run.samples.latency_s[second]) < 0.05


def test_warm_up_does_not_count(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    text = scenario_text(duration_s=0.4, more="warmup_s = 0.2")
    with serving(answer) as server:
        run = run_against(server, tmp_path, text)
    assert len(run.verdict) == 40
    assert part(run).requests == 20
    assert part(run).throughput_per_s == pytest.approx(100, rel=0.1)


def test_flow_that_was_begun_is_ended_after_the_end_and_none_begins(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    tail = JUDGED.format(first="") + "think_s = 0.3\n"
    with serving(answer) as server:
        run = run_against(server, tmp_path, scenario_text(tail, duration_s=0.2))
        assert verdicts(run, "first") == verdicts(run, "second") == {"good": 10}
        assert run.samples.scheduled_s[run.step == 0].max() < 0.2
        closed = scenario_text(
            tail, duration_s=0.2, users=2, arrival='kind = "closed"\nthink_s = 0'
        )
        run = run_against(server, tmp_path, closed)
    assert verdicts(run, "first") == verdicts(run, "second") == {"good": 2}


def test_flow_whose_next_request_lies_too_far_after_the_end_is_left(tmp_path: Path) -> None:
    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        say(writer)

    tail = JUDGED.format(first="") + "think_s = 60\n"
    began = time.monotonic()
    with serving(answer) as server:
        run = run_against(
            server, tmp_path, scenario_text(tail, duration_s=0.1, more="timeout_s = 0.3")
        )
    assert time.monotonic() - began < 5
    assert verdicts(run, "first")["good"] == 5
    assert not verdicts(run, "second")


def test_answer_that_is_nested_without_end_is_no_json() -> None:
    assert extract.Answer(b"", b"[" * 100_000).json is None
