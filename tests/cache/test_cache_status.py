"""Cache-Status: the examples of RFC 9211, both ways, and what the tiers say of a request."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.cache_status import CacheStatus, parse, render, statuses
from perflab.cache.entry import CacheError
from perflab.cache.policy import CachePolicy

from .stand_ins import SharedStandIn, Source, run, tiered, wall

EXAMPLES = [
    # RFC 9211, section 3
    ("ExampleCache;hit", [CacheStatus(cache="ExampleCache", hit=True)]),
    ("ExampleCache;hit;ttl=376", [CacheStatus(cache="ExampleCache", hit=True, ttl=376)]),
    ("ExampleCache;hit;ttl=-412", [CacheStatus(cache="ExampleCache", hit=True, ttl=-412)]),
    ("ExampleCache;fwd=uri-miss", [CacheStatus(cache="ExampleCache", fwd="uri-miss")]),
    (
        "ExampleCache;fwd=stale;fwd-status=304",
        [CacheStatus(cache="ExampleCache", fwd="stale", fwd_status=304)],
    ),
    (
        "ExampleCache;fwd=uri-miss;collapsed",
        [CacheStatus(cache="ExampleCache", fwd="uri-miss", collapsed=True)],
    ),
    (
        "ExampleCache;fwd=uri-miss;collapsed=?0",
        [CacheStatus(cache="ExampleCache", fwd="uri-miss", collapsed=False)],
    ),
    (
        'OriginCache;hit;ttl=1100, "CDN Company Here";hit;ttl=545',
        [
            CacheStatus(cache="OriginCache", hit=True, ttl=1100),
            CacheStatus(cache="CDN Company Here", hit=True, ttl=545),
        ],
    ),
    (
        "ReverseProxyCache;hit, ForwardProxyCache;fwd=uri-miss;collapsed;stored,"
        " BrowserCache;fwd=uri-miss",
        [
            CacheStatus(cache="ReverseProxyCache", hit=True),
            CacheStatus(cache="ForwardProxyCache", fwd="uri-miss", collapsed=True, stored=True),
            CacheStatus(cache="BrowserCache", fwd="uri-miss"),
        ],
    ),
]


@pytest.mark.parametrize(("value", "members"), EXAMPLES)
def test_the_examples_of_the_rfc_are_read_and_written(
    value: str, members: list[CacheStatus]
) -> None:
    assert parse(value) == tuple(members)
    assert parse(value.replace(";", "; ")) == tuple(members)
    assert render(members) == value


def test_the_order_of_parameters_and_unknown_ones_do_not_matter() -> None:
    value = "ForwardProxyCache; fwd=uri-miss; collapsed; com.example=(1 2); stored"
    with pytest.raises(CacheError, match="malformed"):
        parse(value)  # an inner list cannot be a parameter
    value = 'ForwardProxyCache; fwd=uri-miss; collapsed; other="x"; stored'
    assert parse(value) == (
        CacheStatus(cache="ForwardProxyCache", fwd="uri-miss", collapsed=True, stored=True),
    )


def test_names_details_and_keys_may_be_tokens_or_strings() -> None:
    status = CacheStatus(cache="a", hit=True, key='http://x/"y"', detail="two words")
    assert render([status]) == r'a;hit;key="http://x/\"y\"";detail="two words"'
    assert parse('a; detail=word, "b"; detail="word"') == (
        CacheStatus(cache="a", detail="word"),
        CacheStatus(cache="b", detail="word"),
    )
    assert parse("") == ()


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a; hit, ", "malformed: .*[Tt]railing"),
        ("a;;hit", "malformed"),
        ("café; hit", "not ASCII"),
        ("1; hit", "a member must be a token or string, not 1"),
        ("(a b); hit", "a member must be a token or string"),
        ("a; ttl=soon", "ttl=soon of 'a' is no value for it"),
        ("a; ttl=1.5", "ttl=1.5 of 'a'"),
        ("a; hit=1", "hit=1 of 'a'"),
        ('a; fwd="miss"', "fwd='miss' of 'a'"),
        ("a; key=token", "key=token of 'a'"),
        ("a; hit; fwd=miss", "hit and fwd exclude each other"),
    ],
)
def test_what_is_malformed_is_told(value: str, reason: str) -> None:
    with pytest.raises(CacheError, match=reason):
        parse(value)


def test_what_a_header_cannot_carry_is_refused() -> None:
    for status in (
        CacheStatus(cache="a", key="line\nbreak"),
        CacheStatus(cache="a", detail="naïve approach"),
        CacheStatus(cache="ä"),
    ):
        with pytest.raises(CacheError, match="only printable ASCII"):
            render([status])
    with pytest.raises(CacheError, match="fwd must be a token"):
        CacheStatus(cache="a", fwd="two words")
    with pytest.raises(CacheError, match="needs the name"):
        CacheStatus(cache="")


PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=20)


@given(
    members=st.lists(
        st.builds(
            CacheStatus,
            cache=PRINTABLE,
            hit=st.just(False),
            fwd=st.none() | st.sampled_from(["miss", "uri-miss", "bypass"]),
            fwd_status=st.none() | st.integers(100, 599),
            ttl=st.none() | st.integers(-(10**15) + 1, 10**15 - 1),
            stored=st.none() | st.booleans(),
            collapsed=st.none() | st.booleans(),
            key=st.none() | PRINTABLE,
            detail=st.none() | PRINTABLE,
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_back(members: list[CacheStatus]) -> None:
    assert parse(render(members)) == tuple(members)


POLICY = CachePolicy(name="p", ttl_s=60.0, memory_ttl_s=10.0, stale_s=60.0, early_refresh=False)


def test_each_tier_that_a_request_reached_says_what_it_did() -> None:
    async def scenario() -> None:
        shared, source = SharedStandIn(), Source()
        async with tiered(shared) as cache:

            async def said() -> str:
                return render(statuses(await cache.trace("k", source, POLICY), wall()))

            first, second = await asyncio.gather(said(), said())
            assert first == "redis;fwd=miss;stored, memory;fwd=miss;stored"
            assert second == "redis;fwd=miss;collapsed, memory;fwd=miss"
            assert await said() == "memory;hit;ttl=59"
            await asyncio.sleep(11.0)
            assert await said() == "redis;hit;ttl=48, memory;fwd=miss"
            await asyncio.sleep(80.0)
            assert await said() == "redis;hit;ttl=-32, memory;fwd=miss"
            await asyncio.sleep(200.0)
            shared.away = True
            assert await said() == ("redis;fwd=bypass;detail=unavailable, memory;fwd=miss;stored")

    run(scenario)


def test_a_request_that_joins_a_load_never_reached_redis() -> None:
    async def scenario() -> None:
        source = Source(load_s=1.0)
        async with tiered(SharedStandIn()) as cache:
            first = asyncio.ensure_future(cache.trace("k", source, POLICY))
            await asyncio.sleep(0.5)
            second = await cache.trace("k", source, POLICY)
            await first
            assert render(statuses(second, wall())) == "memory;fwd=miss;collapsed"

    run(scenario)


def test_a_tier_that_does_not_exist_says_nothing() -> None:
    async def scenario() -> None:
        async with tiered() as cache:
            answer = await cache.trace("k", Source(), POLICY)
            assert render(statuses(answer, wall(), memory="app", redis=None)) == (
                "app;fwd=miss;stored"
            )

    run(scenario)
