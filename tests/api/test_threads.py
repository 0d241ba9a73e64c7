"""How the threads of a serving process are scheduled, and after."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from perflab.api.threads import LOCK_S, patient_threads

linux = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="the system has no SCHED_BATCH")


@linux
def test_threads_started_within_are_patient_and_afterwards_all_is_as_before() -> None:
    before = os.sched_getscheduler(0)
    found: list[int] = []

    def serve() -> None:
        with patient_threads():
            thread = threading.Thread(target=lambda: found.append(os.sched_getscheduler(0)))
            thread.start()
            thread.join()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve()
    assert found == [os.SCHED_BATCH]
    assert os.sched_getscheduler(0) == before


@linux
def test_a_policy_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_IDLE)

    def refuse(*_: object) -> None:
        raise AssertionError("it was changed")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with patient_threads():
        pass


@linux
def test_where_it_is_forbidden_it_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    with patient_threads():
        pass


def test_the_interpreters_lock_is_waited_for_and_afterwards_as_before() -> None:
    before = sys.getswitchinterval()
    with patient_threads():
        assert sys.getswitchinterval() == pytest.approx(LOCK_S)
    assert sys.getswitchinterval() == before
