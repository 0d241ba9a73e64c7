"""``perflab load``: thresholds decide the exit code, a mistake is a line, Ctrl-C keeps figures."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from load.server import Asked, Server, serving
from perflab.cli import main
from perflab.monitor.alerts import Target
from perflab.monitor.alerts.scraping import scrape
from perflab.services import Redis
from perflab.services.ports import free_ports
from realtime.scenarios.hubs import hub_of, scenario_file

REQUESTS = "perflab_load_requests_total"
SCENARIO = """
title = "ask & answer"
users = 4
duration_s = {duration_s}
thresholds = [{thresholds}]
[arrival]
kind = "constant"
rate_per_s = 50
[[flow]]
name = "ask"
[[flow.request]]
name = "ask <b>"
path = "/"
[[flow.request]]
name = "again"
path = "/${{user}}"
"""


async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(0.005)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(answer) as running:
        yield running


@pytest.fixture
def command(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Runs the command on a scenario with these thresholds; exit code and what was said."""

    def run(*arguments: str, thresholds: str = "", target: str = "") -> tuple[int, str]:
        (tmp_path / "s.toml").write_text(SCENARIO.format(duration_s=0.4, thresholds=thresholds))
        target = target or f"http://127.0.0.1:{server.port}"
        words = ["perflab", "load", str(tmp_path / "s.toml"), "--target", target, *arguments]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), " ".join("".join(capsys.readouterr()).split())

    return run


def test_the_load_tells_its_figures_while_it_runs(command: Callable[..., tuple[int, str]]) -> None:
    port = next(free_ports())
    seen: list[float] = []

    def scrape_until_it_ends() -> None:
        while True:
            found = scrape(Target("load", f"http://127.0.0.1:{port}/metrics"), 5.0)
            if found is None and seen:
                return
            seen.extend(one.value for one in found or () if one.metric == REQUESTS)

    with ThreadPoolExecutor(1) as thread:
        watching = thread.submit(scrape_until_it_ends)
        _, said = command("--metrics-port", str(port))
        watching.result(30)
    assert f"metrics: http://127.0.0.1:{port}/metrics" in said
    assert seen == sorted(seen)
    assert len(set(seen)) > 2, "they grew meanwhile"


@pytest.mark.parametrize(
    ("thresholds", "missed"),
    [('"p95_ms < 9999", "again: requests > 5"', 0), ('"p95_ms < 9999", "p50_ms < 1"', 1)],
)
def test_thresholds_decide_the_exit_code_and_the_figures_are_written(
    thresholds: str, missed: int, command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    files = [tmp_path / "out.json", tmp_path / "out.html"]
    code, said = command("--json", str(files[0]), "--html", str(files[1]), thresholds=thresholds)
    found: dict[str, Any] = json.loads(files[0].read_text())
    void = bool(found["generator"]["void_reason"])  # where others keep the machine busy
    assert code == (1 if missed or void else 0)
    assert [t["holds"] for t in found["thresholds"]].count(False) == missed
    assert ("threshold missed: p50_ms < 1" in said) == bool(missed)
    assert found["total"]["requests"] == found["total"]["good"] == 20
    assert [step["name"] for step in found["steps"]] == ["ask <b>", "again"]
    page = files[1].read_text()
    assert "ask &amp; answer" in page
    assert "ask &lt;b&gt;" in page
    assert "<b>" not in page
    assert 'http-equiv="Content-Security-Policy"' in page


def test_a_load_that_nobody_answers_fails_and_says_so(
    command: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    dead = f"http://127.0.0.1:{next(free_ports())}"
    code, said = command("--json", str(tmp_path / "out.json"), target=dead)
    assert code == 1
    assert f"not answered: {dead} answered nothing" in said
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["ended"] == "done"
    assert not found["answered"]


@pytest.mark.parametrize(
    ("arguments", "target", "named"),
    [
        ([], "http://192.0.2.1", "192.0.2.1 is not this machine"),
        ([], "ftp://127.0.0.1", "must be http or https"),
        ([], "nowhere", "must be like http://host:port"),
        ([], "http://me:hush@127.0.0.1:1", "go into a header"),
        (["--data", "rows"], "", "write it as name=FILE.csv"),
        (["--data", "rows=x.csv"], "", "no such feeder"),
        (["--json", "/nowhere/x.json"], "", "there is no folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_sent(
    arguments: list[str], target: str, named: str,
    command: Callable[..., tuple[int, str]], server: Server,
) -> None:  # fmt: skip
    before = len(server.asked)
    code, said = command(*arguments, target=target)
    assert code == 2
    assert named in said
    assert "Traceback" not in said
    assert len(server.asked) == before


def test_a_bad_threshold_is_a_mistake_and_not_a_missed_one(
    command: Callable[..., tuple[int, str]],
) -> None:
    code, said = command(thresholds='"p95 < 1"')
    assert code == 2
    assert "line 5, thresholds" in said


def test_ctrl_c_prints_what_was_measured_so_far(server: Server, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO.format(duration_s=60, thresholds=""))
    before = len(server.asked)
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("perflab")), "load", str(tmp_path / "s.toml"),
         "--target", f"http://127.0.0.1:{server.port}", "--json", str(tmp_path / "out.json")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 20
    while len(server.asked) < before + 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped after" in said
    assert "Traceback" not in said
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["ended"] == "interrupted"
    assert found["total"]["good"] >= 5


@pytest.fixture
def sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command on a WebSocket scenario; exit code and what was said."""

    def run(*arguments: str, **written: Any) -> tuple[int, str]:
        path = scenario_file(tmp_path, **written)
        monkeypatch.setattr(sys, "argv", ["perflab", "load", str(path), *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), " ".join("".join(capsys.readouterr()).split())

    return run


@pytest.mark.parametrize(("most", "missed"), [(20, 0), (15, 1)])
def test_websockets_end_with_a_code_tables_and_files_too(
    most: int, missed: int, sockets: Callable[..., tuple[int, str]],
    tmp_path: Path, redis_server: Redis,
) -> None:  # fmt: skip
    files = [tmp_path / "out.json", tmp_path / "out.html"]
    more = 'timeout_s = 1\nthresholds = ["connections >= 20", "missing <= 0"]'
    with hub_of(redis_server, connections=most) as hub:
        code, said = sockets(
            "--target", hub.url, "--json", str(files[0]), "--html", str(files[1]), more=more
        )
    found: dict[str, Any] = json.loads(files[0].read_text())
    void = bool(found["generator"]["void_reason"])  # where others keep the machine busy
    assert code == (1 if missed or void else 0)
    assert ("threshold missed: connections >= 20: 15" in said) == bool(missed)
    assert ("5 connect" in said) == bool(missed)
    assert found["total"]["connections"] == most
    assert found["total"]["missing"] == 0
    page = files[1].read_text()
    assert "a &lt;crowd&gt;" in page
    assert "<crowd>" not in page


def test_the_figures_of_a_hub_name_it_without_its_query(
    sockets: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    files = [tmp_path / "out.json", tmp_path / "out.html"]
    target = f"ws://127.0.0.1:{next(free_ports())}/hub?token=hush"
    code, said = sockets(
        "--target", target, "--json", str(files[0]), "--html", str(files[1]), more="timeout_s = 1"
    )
    assert code == 1
    assert target.partition("?")[0] in said
    assert "hush" not in said + files[0].read_text() + files[1].read_text()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--target", "ws://192.0.2.1"], "192.0.2.1 is not this machine"),
        (["--target", "ws://127.0.0.1:1,ws://192.0.2.1"], "192.0.2.1 is not this machine"),
        (["--target", "http://127.0.0.1:1"], "must begin with ws:// or wss://"),
        (["--target", "http://a.test/b?hush"], "'http://a.test/b': must begin with ws://"),
        ([], "target: there is none"),
        (["--target", "ws://127.0.0.1:1", "--workers", "2"], "--workers: a WebSocket scenario"),
        (["--target", "ws://127.0.0.1:1", "--metrics-port", "9"], "--metrics-port: a WebSocket"),
    ],
)
def test_a_mistake_with_websockets_is_one_line(
    arguments: list[str], named: str, sockets: Callable[..., tuple[int, str]]
) -> None:
    code, said = sockets(*arguments)
    assert code == 2
    assert named in said
    assert "hush" not in said
    assert "Traceback" not in said
