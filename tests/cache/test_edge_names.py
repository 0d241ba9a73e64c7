"""The edge's names: one spelling for a URL, tags that a header can carry."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.cache_status import CacheStatus
from perflab.cache.edge import EdgeError, NginxSettings, cache_tag, nginx_files, outcome_of, render
from perflab.cache.edge.names import (
    canonical_target,
    edge_prefix,
    edge_url,
    header_tag,
    is_canonical,
    read_cache_tag,
)
from perflab.cache.edge.wanted import wanted
from perflab.cache.entry import CacheError
from perflab.cache.ledger import Outcome

texts = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]))


@pytest.mark.parametrize(
    ("url", "known_as"),
    [
        ("http://example.org", "example.org/"),
        ("https://Example.ORG:8443/a", "example.org/a"),
        ("http://example.org./a?", "example.org/a"),
        ("http://example.org/a?b=1&c#d", "example.org/a?b=1&c"),
        ("http://example.org/%7euser/%c3%a9", "example.org/~user/%C3%A9"),
        ("http://example.org/é b", "example.org/%C3%A9%20b"),
        ("http://example.org/a/./b/../c/..", "example.org/a/"),
        ("http://example.org/50%", "example.org/50%25"),
        ("http://example.org/?a=[1]/?", "example.org/?a=[1]/?"),
        ("http://[::1]:80/a", "[::1]/a"),
        ("http://bücher.example/", "xn--bcher-kva.example/"),
    ],
)
def test_url_has_one_name(url: str, known_as: str) -> None:
    assert edge_url(url) == known_as


@pytest.mark.parametrize("url", ["", "/a", "example.org/a", "ftp://example.org/", "http:///a",
                                 "http://example.org:port/", "http://exa mple.org/"])  # fmt: skip
def test_what_is_no_absolute_url_is_refused_by_name(url: str) -> None:
    with pytest.raises(EdgeError, match=re.escape(repr(url))):
        edge_url(url)


@pytest.mark.parametrize(
    ("prefix", "known_as"),
    [
        ("example.org", "example.org/"),
        ("example.org/tasks", "example.org/tasks"),
        ("http://Example.org:8080/t%61sks/", "example.org/tasks/"),
        ("[::1]:8080/a", "[::1]/a"),
    ],
)
def test_prefix_has_one_name(prefix: str, known_as: str) -> None:
    assert edge_prefix(prefix) == known_as


@pytest.mark.parametrize("prefix", ["", "/tasks", "example.org/a?b"])
def test_what_is_no_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(EdgeError):
        edge_prefix(prefix)


@given(texts, texts)
def test_every_url_has_a_spelling_that_is_stored(path: str, query: str) -> None:
    target = canonical_target("/" + path, query)
    assert is_canonical(target)
    again = canonical_target(*target.partition("?")[::2])
    assert again == target, "it is its own spelling"


@given(st.text(alphabet="abz09-._~", min_size=1), st.data())
def test_needless_percent_encoding_is_another_spelling_of_the_same(
    text: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    coded = f"/x{text[:at]}%{ord(text[at]):02x}{text[at + 1 :]}"
    assert not is_canonical(coded)
    assert canonical_target(coded) == f"/x{text}"
    assert unquote(coded) == f"/x{text}"


@given(st.lists(texts.filter(lambda text: 0 < len(text) <= 20), max_size=5))
def test_tags_come_back_from_their_header(tags: list[str]) -> None:
    value = cache_tag(tags)
    assert value.isascii()
    assert not re.search(r"\s", value)
    assert read_cache_tag(value) == {header_tag(tag) for tag in tags}


@given(texts.filter(lambda text: 0 < len(text) <= 20), texts.filter(lambda t: 0 < len(t) <= 20))
def test_only_case_makes_two_tags_one(one: str, other: str) -> None:
    same = header_tag(one) == header_tag(other)
    assert not same or one.lower() == other.lower() or one.casefold() == other.casefold()


def test_tags_that_no_header_can_carry_are_refused() -> None:
    with pytest.raises(EdgeError, match="1024; use a shorter one"):
        header_tag("é" * 200)
    with pytest.raises(EdgeError, match="use fewer or shorter"):
        cache_tag(f"{n:0200}" for n in range(100))


@pytest.mark.parametrize("name", [None, 5, b"http://host/"])
def test_names_that_are_no_text_are_refused(name: Any) -> None:
    for call in (edge_url, edge_prefix, header_tag):
        with pytest.raises(CacheError, match=f"must be a string, not {type(name).__name__}"):
            call(name)
    for one in ({"urls": 5}, {"tags": 5}, {"prefixes": 5}):
        what: Any = one
        with pytest.raises(EdgeError, match="must be a collection, not int"):
            wanted(**what)


def test_one_string_is_not_taken_for_tags_of_one_letter_each() -> None:
    with pytest.raises(EdgeError, match="tags must be a collection, not the string 'tasks'"):
        cache_tag("tasks")


def test_file_of_a_key_is_where_nginx_puts_it() -> None:
    # md5 of "a": 0cc175b9c0f1b6a831c399e269772661
    path = nginx_files.path_of(Path("/cache"), "a", (1, 2))
    assert path == Path("/cache/1/66/0cc175b9c0f1b6a831c399e269772661")


def test_file_that_is_no_stored_response_tells_nothing(tmp_path: Path) -> None:
    for content in (b"", b"\nKEY: gzip host/", b"\0" * 9_000):
        file = tmp_path / "file"
        file.write_bytes(content)
        assert nginx_files.read(str(file)) is None
    assert nginx_files.read(str(tmp_path / "none")) is None


def test_tags_far_down_a_long_head_are_found(tmp_path: Path) -> None:
    file = tmp_path / "file"
    head = b"\0" * 300 + b"\nKEY: br h/a\nHTTP/1.1 200 OK\r\nX-Long: " + b"x" * 20_000
    file.write_bytes(head + b"\r\nCache-Tag: A, b\r\ncache-tag: c\r\n\r\n\r\ncache-tag: body")
    found = nginx_files.read(str(file))
    assert found is not None
    assert (found.variant, found.url, found.tags) == (
        "br",
        "h/a",
        frozenset({"a", "b", "c"}),
    )


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("port", 0),
        ("origin_port", 70_000),
        ("folder", "relative"),
        ("folder", '/a" b'),
        ("host", "127.0.0.1; return 200"),
        ("name", "my edge"),
        ("codings", ("gzip", "gzip")),
        ("codings", ("identity",)),
        ("codings", ("br;q=1",)),
        ("max_mb", -1),
        ("port", "8080"),
        ("port", 80.5),
        ("origin_port", True),
        ("folder", None),
        ("host", None),
        ("name", 5),
        ("codings", "gzip"),
        ("codings", ("gzip", None)),
        ("max_mb", "256"),
        ("inactive_s", 0.5),
    ],
)
def test_setting_that_cannot_be_is_named(setting: str, value: object) -> None:
    fine = {"port": 8080, "origin_port": 8000, "folder": "/var/cache/edge"}
    with pytest.raises(EdgeError, match=f"^{setting} of an nginx edge must be"):
        NginxSettings(**(fine | {setting: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0, "30", math.nan, math.inf, None])
@pytest.mark.parametrize("setting", ["longest_response_s", "connect_timeout_s"])
def test_time_that_cannot_be_is_named(setting: str, value: object) -> None:
    given: dict[str, Any] = {"port": 1, "origin_port": 2, "folder": "/x", setting: value}
    with pytest.raises(EdgeError, match=f"^{setting}="):
        NginxSettings(**given)


def test_configuration_never_lets_nginx_keep_files_open() -> None:
    text = render(NginxSettings(port=8080, origin_port=8000, folder="/var/cache/edge"))
    assert "open_file_cache" not in text


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (CacheStatus(cache="e", hit=True), "hit"),
        (CacheStatus(cache="e", hit=True, detail="STALE"), "stale"),
        (CacheStatus(cache="e", fwd="stale", fwd_status=502, detail="STALE"), "stale"),
        (CacheStatus(cache="e", fwd="stale", fwd_status=304), "miss"),
        (CacheStatus(cache="e", fwd="uri-miss"), "miss"),
        (CacheStatus(cache="e", fwd="bypass"), "bypassed"),
        (CacheStatus(cache="e", fwd="method"), "bypassed"),
    ],
)
def test_answer_of_the_edge_has_its_place_in_the_ledger(
    status: CacheStatus, outcome: Outcome
) -> None:
    assert outcome_of(status) == outcome
