"""How old served values get: a lifetime is a promise on every tier."""

from __future__ import annotations

import pytest

from perflab.cache import QUERY, CachePolicy
from perflab.measure.claims import load_claims
from perflab.services import Redis
from perflab.studies.cache import ages
from perflab.studies.cache.ages import CLAIMED, SHORTENED_S, Ages, measure_ages
from perflab.studies.cache.driving import scaled

SLACK_S = 0.2
"""Of real time: how long a request may take on a busy machine, from its start to its answer."""
LOCAL_S = 0.3
KEYS = 6


@pytest.fixture(scope="module")
def measured(redis_server: Redis) -> Ages:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ages, "_KEYS", KEYS)
        return measure_ages(redis_server, lifetimes=2.4, local_s=0.7)


def test_every_claim_about_a_lifetime_in_redis_is_measured_under_its_own_policy() -> None:
    claims = load_claims()
    for id_, policy in CLAIMED.items():
        assert claims.get(id_).target == policy.ttl_s, id_
    assert len({policy.name for policy in CLAIMED.values()}) == len(CLAIMED)


@pytest.mark.parametrize("claim", CLAIMED)
def test_no_value_is_served_that_is_older_than_its_lifetime(measured: Ages, claim: str) -> None:
    policy = CLAIMED[claim]
    scaled_s = measured.by_claim[claim] * SHORTENED_S / policy.ttl_s
    assert scaled_s <= SHORTENED_S + SLACK_S
    assert scaled_s >= 0.6 * SHORTENED_S, "values were kept, and asked for until they expired"


def test_a_local_copy_is_kept_for_300_ms_and_no_longer(measured: Ages) -> None:
    """By the clock that the tier itself reads, so without any slack."""
    assert 0.5 * LOCAL_S < measured.local_s <= LOCAL_S
    assert QUERY.memory_ttl_s == LOCAL_S


def test_a_row_for_each_lifetime_says_how_it_was_scaled(measured: Ages) -> None:
    frame = measured.frame()
    assert list(frame["what"]) == [
        *(f"policy {policy.name}" for policy in CLAIMED.values()),
        "a local copy",
    ]
    assert list(frame["ttl_s"]) == [3_600, 900, 1_800, 300, LOCAL_S]
    assert list(frame["factor"] * SHORTENED_S) == [3_600, 900, 1_800, 300, SHORTENED_S]
    assert list(frame["oldest_s"]) == [*measured.by_claim.values(), measured.local_s]
    assert measured.served > len(CLAIMED) * KEYS, "each key more than once"


def test_a_lifetime_that_is_not_kept_would_be_seen(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def doubled(policy: CachePolicy, factor: float) -> CachePolicy:
        return scaled(policy, factor / 2)

    monkeypatch.setattr(ages, "scaled", doubled)
    monkeypatch.setattr(ages, "_KEYS", 3)
    found = measure_ages(redis_server, lifetimes=2.0, local_s=0.05)
    for claim, policy in CLAIMED.items():
        assert found.by_claim[claim] * SHORTENED_S / policy.ttl_s > SHORTENED_S + SLACK_S
