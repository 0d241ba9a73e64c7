from __future__ import annotations

import pytest

from perflab.ratelimit import RateLimitError, Subject, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48"])


def test_kinds_of_subjects_never_meet() -> None:
    same = "1.2.3.4"
    assert len({Subject.user(same), Subject.api_key(same), Subject.address(same)}) == 3


def test_an_id_may_be_a_number() -> None:
    assert Subject.user(42) == Subject.user("42")


def test_nothing_of_an_api_key_is_kept() -> None:
    key = "sk_live_0123456789"
    subject = Subject.api_key(key)
    assert "sk_live" not in repr(subject)
    assert subject == Subject.api_key(key) != Subject.api_key(key + "x")


def test_a_long_id_is_kept_short_and_apart() -> None:
    long = "x" * 10_000
    assert len(Subject.user(long).key) < 60
    assert Subject.user(long) != Subject.user(long + "x")


def test_ipv6_counts_by_its_64() -> None:
    one, same, other = map(
        Subject.address, ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1")
    )
    assert one == same != other
    assert Subject.address("2001:db8:1:3::1", 48) == Subject.address("2001:db8:1:2::1", 48)


def test_ipv4_counts_by_itself_however_it_is_written() -> None:
    assert Subject.address("192.0.2.1") != Subject.address("192.0.2.2")
    assert Subject.address("::ffff:192.0.2.1") == Subject.address("192.0.2.1")


@pytest.mark.parametrize(
    "text", ["", "host", "1.2.3", "1.2.3.4.5", "1.2.3.4/8", "::1::", "01.2.3.4"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(RateLimitError, match="address"):
        Subject.address(text)


@pytest.mark.parametrize("value", ["", None, 1.5, True, "\ud800"])
def test_what_is_no_id_is_refused_and_not_repeated(value: object) -> None:
    for make in (Subject.user, Subject.api_key):
        with pytest.raises(RateLimitError) as raised:
            make(value)  # type: ignore[arg-type]
        assert "\\ud800" not in repr(str(raised.value))


@pytest.mark.parametrize("prefix", [0, 129, 64.0])
def test_a_bad_prefix_length_is_refused(prefix: int) -> None:
    with pytest.raises(RateLimitError, match="ipv6_prefix"):
        Subject.address("::1", prefix)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # nobody's word is taken but a proxy's
        ("203.0.113.5", ["1.1.1.1"], "203.0.113.5"),
        ("203.0.113.5", [], "203.0.113.5"),
        # a proxy's word, and the word of a proxy that a proxy names
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 2001:db8:ffff::1, 10.9.9.9"], "198.51.100.7"),
        # what the client wrote itself stands further left
        ("10.0.0.1", ["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.1.1.1, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.7", "10.9.9.9"], "198.51.100.7"),
        ("10.0.0.1", ["1.1.1.1, garbage, 198.51.100.7"], "198.51.100.7"),
        # garbage ends the search where it stands: no further to the left
        ("10.0.0.1", ["198.51.100.7, garbage"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7, , 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", ["unknown, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        # proxies all the way
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        # ports, brackets, zones, IPv4 in IPv6
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("2001:db8:ffff::2%eth0", ["198.51.100.7"], "198.51.100.7"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(
    peer: str, forwarded: list[str], client: str
) -> None:
    assert PROXIES.client(peer, forwarded) == client


def test_without_configuration_the_field_is_not_read() -> None:
    assert TrustedProxies().client("10.0.0.1", ["198.51.100.7"]) == "10.0.0.1"


def test_a_unix_socket_is_trusted_only_when_said_so() -> None:
    assert TrustedProxies(["10.0.0.0/8"]).client(None, ["198.51.100.7"]) is None
    trusting = TrustedProxies(["10.0.0.0/8"], unix_socket=True)
    assert trusting.client(None, ["1.1.1.1, 198.51.100.7, 10.0.0.9"]) == "198.51.100.7"
    assert trusting.client(None, ["garbage"]) is None


@pytest.mark.parametrize("networks", [["10.0.0.1/8"], ["proxy"], [None], "10.0.0.0/8"])
def test_bad_networks_are_refused(networks: list[str]) -> None:
    with pytest.raises(RateLimitError, match="network"):
        TrustedProxies(networks)
