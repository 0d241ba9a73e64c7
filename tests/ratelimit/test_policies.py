from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perflab.errors import ConfigError
from perflab.ratelimit import DEFAULT_POLICIES, Policy, RateLimiter, RateLimitError, load_policies
from perflab.ratelimit.policies import US

SECRET = "s3cr%2Ft"


def test_the_plans_limits_are_the_defaults() -> None:
    assert {one.name: (one.limit, one.period_s, one.algorithm) for one in DEFAULT_POLICIES} == {
        "auth": (10, 900, "sliding_log"),
        "api": (1_000, 900, "gcra"),
        "heavy": (10, 60, "sliding_log"),
        "realtime": (50, 5, "gcra"),
    }
    assert [one.interval_us / US for one in DEFAULT_POLICIES] == [90, 0.9, 6, 0.1]


def test_an_interval_is_rounded_up_so_that_the_limit_holds() -> None:
    policy = Policy(name="p", limit=7, period_s=1)
    assert policy.interval_us == 142_858
    assert 7 * policy.interval_us >= policy.period_us


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "API"),
        ("name", 'a"b'),
        ("limit", 0),
        ("limit", True),
        ("limit", "10"),
        ("limit", 200_001),
        ("period_s", 0),
        ("period_s", -1.0),
        ("period_s", float("nan")),
        ("period_s", float("inf")),
        ("algorithm", "token_bucket"),
        ("burst", 0),
        ("burst", 11),
        ("lease", 0),
        ("lease", 11),
        ("lease", True),
        ("lease", 2.0),
        ("on_outage", "maybe"),
        ("shadow", 1),
        ("sensitive", "yes"),
    ],
)
def test_a_bad_field_is_named_with_its_policy(field: str, value: Any) -> None:
    good: dict[str, Any] = {"name": "mine", "limit": 10, "period_s": 2.0}
    Policy(**good)
    with pytest.raises(RateLimitError) as raised:
        Policy(**good | {field: value})
    assert f": {field} " in str(raised.value)
    assert repr((good | {field: value})["name"]) in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"algorithm": "sliding_log", "limit": 1_001}, "use gcra"),
        ({"algorithm": "sliding_counter", "limit": 10**6, "period_s": 86_400.0}, "use gcra"),
        ({"algorithm": "fixed_window", "burst": 5}, "leave it out"),
        ({"algorithm": "sliding_log", "lease": 5}, "lease .* not of sliding_log; leave it out"),
        ({"sensitive": True, "on_outage": "open"}, "local or closed"),
        ({"name": "auth", "on_outage": "open"}, "local or closed"),
    ],
)
def test_what_does_not_go_together_is_refused_with_advice(
    fields: dict[str, Any], advice: str
) -> None:
    good: dict[str, Any] = {"name": "mine", "limit": 10, "period_s": 2_000.0}
    with pytest.raises(RateLimitError, match=advice):
        Policy(**good | fields)


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "limits.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_policies_come_out_of_a_file(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[auth]\nlimit = 5\nperiod_s = 60\nalgorithm = "sliding_log"\non_outage = "closed"\n'
        "[slow-api]\nlimit = 100\nperiod_s = 0.5\nburst = 20\nlease = 8\nshadow = true\n",
    )
    assert load_policies(path) == (
        Policy(name="auth", limit=5, period_s=60, algorithm="sliding_log", on_outage="closed"),
        Policy(name="slow-api", limit=100, period_s=0.5, burst=20, lease=8, shadow=True),
    )


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[api]\nlimit = 10\nperiod_s = 60\n[auth]\nlimit = 0\nperiod_s = 1", 5, "auth.limit"),
        ("[auth]\nlimit = 9\nperiod_s = 60\non_outage = 'open'", 4, "auth.on_outage"),
        ("[api]\nlimit = 10\nperiod_s = 60\nlimits = 5", 4, "api.limits"),
        ("[api]\nlimit = 10\nperiod_s = 'an hour'", 3, "api.period_s"),
        ("[api]\nlimit = 10\nperiod_s = 60\nalgorithm = 'bucket'", 4, "api.algorithm"),
        ("[api]\nlimit = 10\nperiod_s = 60\nburst = 11", 4, "api.burst"),
        ("[api]\nlimit = 10\nperiod_s = 60\nlease = 0", 4, "api.lease"),
        ("[auth]\nlimit = 9\nperiod_s = 60\nalgorithm = 'sliding_log'\nlease = 2", 5, "auth.lease"),
        ("[api]\nlimit = 10", 1, "api"),
        ("['A P I']\nlimit = 1\nperiod_s = 1", 1, "A P I"),
        ("", 1, "the file"),
    ],
)
def test_a_bad_file_is_one_error_with_line_and_key(
    tmp_path: Path, text: str, line: int, key: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load_policies(path)
    assert str(raised.value).startswith(f"{path}, line {line}, {key}: ")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"policies": []}, "policies"),
        ({"policies": [DEFAULT_POLICIES[0], DEFAULT_POLICIES[0]]}, "'auth'"),
        ({"policies": ["auth"]}, "Policy"),
        ({"prefix": "a{b"}, "prefix"),
        ({"prefix": "a b"}, "prefix"),
        ({"budget_s": 0}, "budget_s"),
        ({"budget_s": "10 ms"}, "budget_s"),
        ({"timeout_s": -1.0}, "timeout_s"),
        ({"probe_s": 0.0}, "probe_s"),
        ({"failures": 0}, "failures"),
        ({"max_local": 0}, "max_local"),
        ({"max_denied": 0}, "max_denied"),
        ({"remember_at_most_s": float("nan")}, "remember_at_most_s"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(RateLimitError, match=named):
        RateLimiter(None, **options)


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{SECRET}@host:port/0",
        f"http://:{SECRET}@host:1/0",
        f"redis://:{SECRET}@[host:1/0",
        SECRET,
    ],
)
@pytest.mark.parametrize("cluster", [False, True])
def test_no_part_of_a_password_is_in_an_error(url: str, cluster: bool) -> None:
    with pytest.raises(RateLimitError) as raised:
        RateLimiter(url, cluster=cluster)
    assert "redis://user:password@host:port" in str(raised.value)
    for text in (str(raised.value), repr(raised.value.__cause__)):
        assert SECRET not in text
        assert "s3cr" not in text


def test_a_limiter_shows_no_password() -> None:
    limiter = RateLimiter(f"redis://:{SECRET}@127.0.0.1:1/0")
    assert repr(limiter) == "<RateLimiter at 127.0.0.1:1: auth, api, heavy, realtime>"
