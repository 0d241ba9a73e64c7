"""Many misses of one key at once, in one process and over several."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis

from perflab.services import Redis
from perflab.studies.cache import crowd as crowd_module
from perflab.studies.cache import stampede
from perflab.studies.cache.crowd import Orders, crowd
from perflab.studies.cache.stampede import measure_stampede
from perflab.studies.child import Child, ChildError

READERS = 42


def children() -> list[psutil.Process]:
    """The processes of stampedes that are still there."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # a server's, which has just ended
            if any(argument.endswith("crowd.py") for argument in process.cmdline()):
                found.append(process)
    return found


@pytest.fixture(autouse=True)
def none_left_behind() -> Iterator[None]:
    yield
    assert children() == []


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the processes run instead of a crowd, written by the test."""
    monkeypatch.setattr(stampede, "__file__", str(tmp_path / "stampede.py"))
    monkeypatch.setattr(crowd_module, "LOAD_S", 0.0)
    return tmp_path / "crowd.py"


def test_however_many_processes_ask_at_once_the_tiered_cache_loads_once(
    redis_server: Redis,
) -> None:
    frame = measure_stampede(redis_server, READERS)
    assert list(frame["kind"]) == ["plain cache-aside", "tiered cache"] * 2
    assert list(frame["processes"]) == [1, 1, 4, 4]
    assert (frame["requests"] == READERS).all(), "also where four do not divide them"
    assert (frame["answered"] == READERS).all()
    plain, tiered = (frame[frame["kind"] == kind] for kind in ("plain cache-aside", "tiered cache"))
    assert (tiered["loads"] == 1).all()
    assert (plain["loads"] > 1).all()
    assert (plain["loads"] <= READERS).all()
    assert (frame["slowest_ms"] >= 1_000 * crowd_module.LOAD_S).all(), "all wait for a load"


def test_a_crowd_waits_until_it_may_begin_and_leaves_others_keys_alone(
    redis_server: Redis,
) -> None:
    prefix = f"test-{secrets.token_hex(4)}:"
    seen: list[int] = []
    with redis.Redis.from_url(redis_server.url()) as client:

        def ready() -> None:
            seen.append(len(client.keys(f"{prefix}*")))

        reports = [
            asyncio.run(crowd(Orders(5, tiered, prefix), redis_server.url(), ready))
            for tiered in (True, True, False)
        ]
        assert seen[0] == 0, "nothing was asked for before"
        assert client.exists(f"{prefix}plain")
    # what one crowd loaded the next one finds, and plain caching keeps to a key of its own
    assert [report.loads for report in reports] == [1, 0, 5]
    assert [report.answered for report in reports] == [5, 5, 5]


DIES = {
    "at once": "raise SystemExit(3)",
    "after its orders": "import sys; [sys.stdin.readline() for _ in range(2)]; sys.exit(3)",
    "when it is to begin": "import sys; [sys.stdin.readline() for _ in range(2)];"
    " print('ready', flush=True); sys.stdin.readline(); sys.exit(3)",
}


@pytest.mark.parametrize("source", DIES.values(), ids=DIES)
def test_a_process_that_ends_before_its_time_is_reported_with_its_exit_code(
    redis_server: Redis, program: Path, source: str
) -> None:
    program.write_text(source)
    with pytest.raises(ChildError, match="ended with exit code 3"):
        measure_stampede(redis_server, 4)


def test_a_process_that_no_longer_listens_is_reported_and_not_a_broken_pipe(
    redis_server: Redis, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perflab.studies.child.ENDS_S", 0.01)
    program.write_text(
        "import os, time; os.read(0, 9999); os.close(0); print('ready', flush=True); time.sleep(99)"
    )
    with pytest.raises(ChildError):
        measure_stampede(redis_server, 4)


def test_no_process_is_left_where_the_one_who_waits_is_interrupted(
    redis_server: Redis, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write_text("import sys; sys.stdin.read()")

    def interrupted(processes: list[object], _orders: object) -> None:
        assert len(processes) == len(children()) == stampede.PROCESSES
        raise KeyboardInterrupt

    monkeypatch.setattr(stampede, "_together", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_stampede(redis_server, 4)


def test_the_servers_password_is_on_no_command_line(
    redis_server: Redis, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.write_text("import sys; print(sys.stdin.readline(), flush=True); sys.stdin.read()")
    heard: list[str] = []

    def listen(crowds: list[Child], _orders: object) -> None:
        heard.extend(child.hear() for child in crowds)
        assert all(redis_server.address.password not in str(c.cmdline()) for c in children())
        raise KeyboardInterrupt

    monkeypatch.setattr(stampede, "_together", listen)
    with pytest.raises(KeyboardInterrupt):
        measure_stampede(redis_server, 4)
    assert heard == [redis_server.url()] * stampede.PROCESSES
