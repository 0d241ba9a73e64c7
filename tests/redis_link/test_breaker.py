from __future__ import annotations

from perflab.redis_link import Breaker


def test_opens_after_failures_in_a_row() -> None:
    breaker = Breaker(3)
    assert [breaker.failed(now, now + 0.5) for now in (1.0, 2.0, 3.0)] == [False, False, True]
    assert breaker.is_open
    assert breaker.opened == 1


def test_a_success_starts_the_count_again() -> None:
    breaker = Breaker(2)
    breaker.failed(1.0, 1.1)
    breaker.succeeded()
    breaker.failed(2.0, 2.1)
    assert not breaker.is_open


def test_one_hiccup_counts_once_however_much_was_under_way() -> None:
    breaker = Breaker(2)
    for began_at in (1.00, 1.01, 1.02, 1.03):
        breaker.failed(began_at, 1.05)
    assert not breaker.is_open
    assert breaker.failed(1.06, 1.2)


def test_opens_once_and_closes_with_a_clean_slate() -> None:
    breaker = Breaker(1)
    assert breaker.failed(1.0, 1.1)
    assert not breaker.failed(2.0, 2.1)
    assert breaker.opened == 1
    breaker.mend()
    assert not breaker.is_open
    assert breaker.failed(3.0, 3.1)
    assert breaker.opened == 2
