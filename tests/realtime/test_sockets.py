"""What many sockets need of the system is asked for first, and said in one line."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from perflab.realtime import RealtimeError
from perflab.realtime.sockets import need_files, need_ports


class Limits:
    """Of open files, in place of the process's own."""

    def __init__(self, soft: int, hard: int) -> None:
        self.given = (soft, hard)

    def get(self, _which: int) -> tuple[int, int]:
        return self.given

    def set(self, _which: int, given: tuple[int, int]) -> None:
        self.given = given


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    found = Limits(1_024, 4_096)
    monkeypatch.setattr(resource, "getrlimit", found.get)
    monkeypatch.setattr(resource, "setrlimit", found.set)
    return found


def test_the_soft_limit_of_open_files_is_raised_where_it_is_too_low(limits: Limits) -> None:
    need_files(900)
    assert limits.given == (1_024, 4_096)
    need_files(2_000)
    assert limits.given == (2_064, 4_096)


def test_beyond_the_hard_limit_one_line_says_what_to_do(limits: Limits) -> None:
    with pytest.raises(RealtimeError, match=r"need 10064 open files.*ulimit -n 10064"):
        need_files(10_000)
    assert limits.given == (1_024, 4_096)
    limits.given = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    need_files(10_000)


def test_ports_to_connect_from_must_be_as_many_as_connections(tmp_path: Path) -> None:
    setting = tmp_path / "range"
    setting.write_text("32768\t33767\n")
    need_ports(1_000, setting)
    with pytest.raises(RealtimeError, match=r"1001 connections.*has 1000 to connect from"):
        need_ports(1_001, setting)
    need_ports(1_001, tmp_path / "another system")
