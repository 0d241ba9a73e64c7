"""Which errors are worth running again."""

from __future__ import annotations

import psycopg
import psycopg_pool
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import errors

from perflab.database.faults import is_connection_loss, is_rolled_back, is_worth_retrying

STATES = sorted(
    kind.sqlstate
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, psycopg.Error) and kind.sqlstate
)
RETRIED = {"40001", "40P01", "57P01", "57P02", "57P03", "53300"}


@given(st.sampled_from(STATES))
def test_only_transient_states_are_retried(state: str) -> None:
    error = errors.lookup(state)("x")
    assert is_worth_retrying(error) is (state in RETRIED or state.startswith("08"))
    assert is_rolled_back(error) is (state in {"40001", "40P01"})


@pytest.mark.parametrize("state", ["57P01", "57P02", "57P03", "08006", "08003", "08001"])
def test_the_fate_of_a_commit_is_unknown_after_these(state: str) -> None:
    assert is_connection_loss(errors.lookup(state)("x"))


def test_an_error_without_a_state_came_from_the_wire() -> None:
    assert is_connection_loss(psycopg.OperationalError("server closed the connection unexpectedly"))


@pytest.mark.parametrize(
    "error",
    [
        errors.UniqueViolation("x"),
        errors.QueryCanceled("x"),
        errors.SyntaxError("x"),
        errors.DiskFull("x"),
        psycopg.InterfaceError("the cursor is closed"),
        psycopg.ProgrammingError("x"),
        ValueError("x"),
        KeyboardInterrupt(),
    ],
)
def test_what_would_fail_again_is_not_retried(error: BaseException) -> None:
    assert not is_worth_retrying(error)


def test_waiting_in_vain_for_a_connection_is_not_a_lost_connection() -> None:
    assert not is_connection_loss(psycopg_pool.PoolTimeout("x"))
    assert not is_connection_loss(psycopg_pool.TooManyRequests("x"))
    assert not is_worth_retrying(psycopg_pool.TooManyRequests("x"))
