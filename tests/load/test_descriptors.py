"""A load that needs more connections than this process may have says so before it begins."""

from __future__ import annotations

import resource

import pytest

from perflab import descriptors
from perflab.load import LoadError, Request, Target, run_closed, run_open

NOWHERE = Target("127.0.0.1", 9)
GET = Request("GET", "/")


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limit of open files, the last entry; what is set comes behind it."""
    given = [(256, 1_024)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: given[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, limit: given.append(limit))
    return given


def test_users_beyond_the_hard_limit_are_refused_in_one_line(
    limits: list[tuple[int, int]],
) -> None:
    with pytest.raises(LoadError, match=r"^users: 1000 connections need 1064 open files.*ulimit"):
        run_closed(NOWHERE, GET, users=1_000, seconds=0.1)
    with pytest.raises(LoadError, match=r"^connections: 1000 connections need 1064"):
        run_open(NOWHERE, GET, [0.0], connections=1_000)
    assert limits == [(256, 1_024)], "nothing was changed"


def test_the_soft_limit_is_raised_before_a_load_begins(limits: list[tuple[int, int]]) -> None:
    run_closed(NOWHERE, GET, users=300, seconds=0.01, think_s=1.0)
    assert limits[1:] == [(364, 1_024)]


def test_a_server_takes_as_many_as_it_can_get(limits: list[tuple[int, int]]) -> None:
    descriptors.allow_connections(16_384)
    assert limits[-1] == (1_024, 1_024)
    descriptors.allow_connections(100)
    assert len(limits) == 2, "never lowered"
    assert descriptors.room_for() == 1_024 - descriptors.SPARE
    limits.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    descriptors.allow_connections(1_000_000)
    assert len(limits) == 3
    assert descriptors.room_for() == float("inf")
