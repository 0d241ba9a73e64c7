"""Whatever the request says: what is sent is acceptable, readable, and told apart by its ETag."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perflab.api.responses import acceptable, content_hash, respond

from .support import CODINGS, NOW, decoded, page

NAMES = ("zstd", "br", "gzip")


def weight_of(accept: str | None, coding: str) -> Decimal | None:
    """A second reading of §12.5.3: the weight, None where nothing is said.

    Walks over the characters, where the component matches an expression.
    """
    if accept is None:
        return Decimal(1)
    said: dict[str, Decimal] = {}
    for member in accept.split(","):
        name, semicolon, rest = member.strip(" \t").partition(";")
        name = name.rstrip(" \t")
        if not name or any(char not in TOKEN for char in name):
            continue
        value = Decimal(1)
        if semicolon:
            rest = rest.lstrip(" \t")
            if rest[:2] not in ("q=", "Q="):
                continue
            digits = rest[2:]
            whole, point, places = digits.partition(".")
            if whole not in ("0", "1") or len(places) > 3 or not set(places) <= set("0123456789"):
                continue
            value = Decimal(f"{whole}.{places or '0'}")
            if value > 1:
                continue
        name = name.lower()
        name = "gzip" if name == "x-gzip" else name
        said[name] = min(value, said.get(name, value))
    return said.get(coding, said.get("*"))


TOKEN = set("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def is_acceptable(accept: str | None, coding: str) -> bool:
    weight = weight_of(accept, coding)
    return coding == "identity" if weight is None else weight > 0


space = st.sampled_from(["", " ", "\t", "  "])
names = st.sampled_from([*NAMES, "identity", "*", "GZip", "x-gzip", "deflate", "gzipp", "", "g z"])
weights = st.sampled_from(
    ["", ";q=0", ";q=1", ";q=0.5", ";q=0.001", "; Q=0.000", ";q=1.001", ";q=", ";q=.3", ";q=0.1234",
     ";q =1", ";level=1", ";q=0.5;q=0", ";", ";q=1.000", ";q=0.", ";q=nan", ";q=1e0", ";q=٠"]
)  # fmt: skip
members = st.builds("".join, st.tuples(space, names, space, weights, space))
lists = st.lists(members, max_size=6).map(",".join)
texts = st.one_of(
    st.none(), lists, st.text(st.characters(max_codepoint=255), max_size=40),
    st.text("gzipbrstdy*;q=01., \t", max_size=40), lists.map(lambda text: text + "," * 250),
)  # fmt: skip
bodies = st.one_of(
    st.binary(max_size=60),
    st.builds(
        lambda part, times: part * times, st.binary(min_size=1, max_size=30), st.integers(1, 200)
    ),
    st.integers(1024, 3000).map(lambda size: np.random.default_rng(size).bytes(size)),
)
media_types = st.sampled_from(["application/json", "text/plain; charset=utf-8", "image/png"])


@settings(max_examples=500)
@given(texts, bodies, media_types, st.sampled_from(["GET", "HEAD", "POST"]))
def test_what_is_sent_is_acceptable_and_decodes_to_the_body(
    accept: str | None, body: bytes, media_type: str, method: str
) -> None:
    request = [] if accept is None else [("Accept-Encoding", accept)]
    representation = page(body=body, media_type=media_type)
    response = respond(request, method, representation, codings=CODINGS, now=NOW)
    coding = response.field("content-encoding") or "identity"
    possible = [name for name in (*NAMES, "identity") if is_acceptable(accept, name)]
    assert response.field("vary") == "Accept-Encoding"
    if possible or method == "POST":
        assert response.status == 200
        assert coding in (possible or ["identity"])
    else:
        assert response.status == 406
        return
    if method == "HEAD":
        assert response.body == b""
        assert (
            response.fields
            == respond(request, "GET", representation, codings=CODINGS, now=NOW).fields
        )
    else:
        assert decoded(response) == body
        assert response.field("content-length") == str(len(response.body))
    if coding != "identity" and "identity" in possible:
        assert len(body) >= 1024
        assert int(response.field("content-length") or 0) < len(body)
        best = max(weight_of(accept, name) or 0 for name in possible)
        assert weight_of(accept, coding) == best


@given(texts)
def test_the_order_is_by_weight_then_the_servers(accept: str | None) -> None:
    ranked = acceptable(accept, NAMES)
    assert set(ranked) == {name for name in (*NAMES, "identity") if is_acceptable(accept, name)}
    if accept is not None:
        keys = [
            (-(weight_of(accept, name) or 0), (*NAMES, "identity").index(name)) for name in ranked
        ]
        assert keys == sorted(keys)


@given(bodies, bodies, st.permutations(["", "zstd", "br", "gzip"]), st.booleans())
def test_etags_are_equal_exactly_where_the_bytes_are(
    one: bytes, other: bytes, accepts: list[str], same: bool
) -> None:
    other = one if same else other
    seen: dict[str, bytes] = {}
    for body in (one, other):
        for accept in accepts:
            response = respond(
                {"accept-encoding": accept}, "GET", page(body=body), codings=CODINGS, now=NOW
            )
            tag = response.field("etag") or ""
            assert re.fullmatch(r'"[\x21\x23-\x7e]+"', tag)
            assert seen.setdefault(tag, response.body) == response.body
    assert len(set(seen.values())) == len(seen)


@given(bodies, texts)
def test_the_etag_that_was_sent_brings_304_with_the_same_fields(
    body: bytes, accept: str | None
) -> None:
    request = {} if accept is None else {"accept-encoding": accept}
    first = respond(request, "GET", page(body=body), codings=CODINGS, now=NOW)
    assume(first.status == 200)
    again = respond(
        request | {"if-none-match": f'"x", {first.field("etag")}'}, "GET", page(body=body),
        codings=CODINGS, now=NOW,
    )  # fmt: skip
    assert (again.status, again.body) == (304, b"")
    assert set(again.fields) <= set(first.fields)
    assert again.field("etag") == first.field("etag")


tag_texts = st.one_of(
    st.text(st.characters(max_codepoint=255), max_size=60), st.text('W/"v1*, \t', max_size=30)
)


@given(tag_texts, tag_texts, tag_texts, tag_texts)
def test_no_condition_is_too_strange(match: str, none: str, since: str, unmodified: str) -> None:
    request: dict[str, Any] = {
        "if-match": match, "if-none-match": none, "if-modified-since": since,
        "if-unmodified-since": unmodified,
    }  # fmt: skip
    for name in request:
        response = respond({name: request[name]}, "GET", page(), codings=CODINGS, now=NOW)
        assert response.status in (200, 304, 412)
    assert respond(request, "GET", page(), codings=CODINGS, now=NOW).status in (200, 304, 412)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_hashes_are_equal_exactly_where_bodies_are(one: bytes, other: bytes) -> None:
    assert (content_hash(one) == content_hash(other)) == (one == other)
    assert len(content_hash(one)) == 24
