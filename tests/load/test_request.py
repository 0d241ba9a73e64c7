"""Requests and targets: what is rendered, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.load import LoadError, Request, Target
from perflab.load.request import shown

TARGET = Target("example.org", 8080)


def test_get_has_host_and_nothing_else_of_ours() -> None:
    request = Request("GET", "/a?b=%20", (("Accept", "*/*"),))
    assert request.render(TARGET) == (
        b"GET /a?b=%20 HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\n\r\n"
    )


def test_body_has_its_length() -> None:
    assert (
        Request("POST", "/", body=b"12345")
        .render(TARGET)
        .endswith(b"\r\nContent-Length: 5\r\n\r\n12345")
    )
    assert b"Content-Length: 0" in Request("POST", "/").render(TARGET)
    assert b"Content-Length" not in Request("DELETE", "/").render(TARGET)


def test_host_of_the_caller_stands_alone() -> None:
    data = Request("GET", "/", (("host", "edge.test"),)).render(TARGET)
    assert data.lower().count(b"host:") == 1


@pytest.mark.parametrize(
    ("target", "authority"),
    [
        (Target("a.test", 80), "a.test"),
        (Target("::1", 8080), "[::1]:8080"),
        (Target("fe80::1%eth0", 80), "[fe80::1]"),
        (Target.from_url("http://127.0.0.1:81/"), "127.0.0.1:81"),
        (Target.from_url("http://[::1]:81"), "[::1]:81"),
        (Target.from_url("http://a.test"), "a.test"),
    ],
)
def test_authority_is_written_as_in_urls(target: Target, authority: str) -> None:
    assert target.authority == authority


@pytest.mark.parametrize(
    "url",
    ["a.test:80", "http://", "http://a.test/path", "http://u:p@a.test", "http://a.test:99999",
     "http://a.test?x", "ftp://a.test", "http://[::1"],
)  # fmt: skip
def test_url_that_is_no_target_is_refused(url: str) -> None:
    with pytest.raises(LoadError):
        Target.from_url(url)


@pytest.mark.parametrize(
    ("url", "authority", "tls"),
    [
        ("https://a.test", "a.test", True),
        ("https://a.test:80", "a.test:80", True),
        ("http://a.test:443", "a.test:443", False),
    ],
)
def test_scheme_decides_the_usual_port_and_tls(url: str, authority: str, tls: bool) -> None:
    target = Target.from_url(url)
    assert (target.authority, target.tls) == (authority, tls)
    assert Target.from_url(target.url) == target


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a\r\nX: 1", "a@b", "a:b:zz", None, 1])
def test_host_that_is_none_is_named(host: Any) -> None:
    with pytest.raises(LoadError, match=r"^host: "):
        Target(host, 80)


@pytest.mark.parametrize("port", [0, -1, 65536, "80", 80.0, True, None])
def test_port_that_is_none_is_named(port: Any) -> None:
    with pytest.raises(LoadError, match=r"^port: "):
        Target("a.test", port)


@pytest.mark.parametrize("method", ["", "GE T", "GET\r\n", "G:T", "CONNECT", None, b"GET"])
def test_method_that_is_none_is_named(method: Any) -> None:
    with pytest.raises(LoadError, match=r"^method: "):
        Request(method, "/")


@pytest.mark.parametrize(
    "target",
    ["", "a", "/a b", "/a\r\nX: 1", "/ä", "/a#b", "http://a.test/", "*", "/a\n", None, b"/"],
)
def test_target_that_is_none_is_named(target: Any) -> None:
    with pytest.raises(LoadError, match=r"^target: "):
        Request("GET", target)
    assert Request("OPTIONS", "*").render(TARGET).startswith(b"OPTIONS * HTTP/1.1\r\n")


@pytest.mark.parametrize(
    "field",
    [("A", "b\r\nC: d"), ("A", "b\n"), ("A", "\x00"), ("A", "€"), ("A B", "c"), ("A:", "b"),
     ("", "b"), ("Content-Length", "1"), ("transfer-encoding", "chunked"), ("A", 1), ("A",), "AB"],
)  # fmt: skip
def test_field_that_could_break_the_head_is_refused(field: Any) -> None:
    with pytest.raises(LoadError, match=r"^headers: "):
        Request("GET", "/", (field,))


def test_headers_and_body_of_other_types_are_named() -> None:
    with pytest.raises(LoadError, match=r"^headers: must be a tuple"):
        Request("GET", "/", {"A": "b"})  # type: ignore[arg-type]
    with pytest.raises(LoadError, match=r"^body: must be bytes, not str"):
        Request("POST", "/", (), "text")  # type: ignore[arg-type]


class Parsed:
    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.whole = 0
        httptools.HttpRequestParser(self).feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole += 1


@given(
    st.text(max_size=20),
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=20)), max_size=3),
    st.binary(max_size=50),
)
def test_whatever_is_accepted_is_read_as_exactly_this_request(
    path: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    try:
        request = Request("PATCH", "/" + path, tuple(headers))
    except LoadError:
        return
    request = Request("PATCH", request.target, request.headers, body)
    parsed = Parsed(request.render(TARGET))
    assert parsed.whole == 1
    assert parsed.url == request.target.encode()
    assert parsed.body == body
    names = [name.lower() for name, _ in headers]
    added = ("host" not in names) + 1
    assert len(parsed.fields) == len(headers) + added


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://a.test:81/b/c?token=hush#hush", "http://a.test:81/b/c"),
        ("ws://me:hush@a.test:81/b?at=hush@hush", "ws://a.test:81/b"),
        ("me:hush@a.test", "a.test"),
        ("http://a.test/@b", "http://a.test/@b"),
        ("http://me:hu/sh@a.test", "http://…"),
        ("http://me:hu?sh@a.test", "http://…"),
        ("a.test/?hush=http://b", "a.test/"),
    ],
)
def test_messages_show_no_secret_of_a_url(url: str, seen: str) -> None:
    assert shown(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        "http://a.test/?token=hush", "http://me:hush@a.test", "me:hush@a.test", "?hush",
        "http://a.test:x?hush", "http://a.test:hush@b:x", "http://[::1?hush",
    ],
)  # fmt: skip
def test_an_error_about_a_url_repeats_no_secret(url: str) -> None:
    with pytest.raises(LoadError) as caught:
        Target.from_url(url)
    assert "hush" not in str(caught.value)


def test_an_error_about_a_path_repeats_no_query() -> None:
    with pytest.raises(LoadError, match="not '/items'") as caught:
        Request("GET", "/items?token=hush hush")
    assert "hush" not in str(caught.value)
