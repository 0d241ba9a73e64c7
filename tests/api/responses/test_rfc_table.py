"""The component against RFC 9110, a case a rule; ``respond`` is the same for every caller."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from perflab.api.responses import Response, respond

from .support import BODY, CODINGS, GZIP, NOW, NOW_TEXT, SMALL, ZSTD, decoded, page

LATER = "Sun, 06 Nov 1994 08:49:38 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
MODIFIED = NOW - 0.25
"""Last-Modified has whole seconds: it is EARLIER."""


def answer(
    request: dict[str, str] | list[tuple[str, str]] | None = None,
    method: str = "GET",
    threshold_bytes: int = 1024,
    **changes: Any,
) -> Response:
    return respond(
        request or {},
        method,
        page(**changes),
        codings=CODINGS,
        threshold_bytes=threshold_bytes,
        now=NOW,
    )


NEGOTIATION = [
    # (section, Accept-Encoding, coding sent)
    ("12.5.3 no field: any is acceptable, identity is what everybody reads", None, None),
    ("12.5.3 empty: no coding is wanted", "", None),
    ("12.5.3 the only one listed", "gzip", "gzip"),
    ("12.5.3 the server chooses among equals", "gzip, br, zstd", "zstd"),
    ("12.5.3 the server chooses among equals", "gzip, deflate, br", "br"),
    ("12.5.3 unknown ones are passed over", "deflate, compress, sdch", None),
    ("12.5.3 names are whole tokens", "xgzip, gzip2, not-gzip", None),
    ("8.4.1 names have no case", "GZIP", "gzip"),
    ("8.4.1.3 x-gzip is gzip", "x-gzip", "gzip"),
    ("12.4.2 the highest weight", "gzip;q=0.9, zstd;q=0.8, br;q=0.1", "gzip"),
    ("12.4.2 no weight is 1", "zstd;q=0.999, gzip", "gzip"),
    ("12.4.2 three decimals", "zstd;q=0.001, br;q=0.002", "br"),
    ("12.4.2 0 is not acceptable", "zstd;q=0, br;q=0.0, gzip;q=0.000", None),
    ("12.4.2 0 is not acceptable", "gzip;q=0, zstd;q=0.1", "zstd"),
    ("12.4.2 spaces around the semicolon; q in any case", "gzip ; q=0 ,zstd\t;\tQ=0.5", "zstd"),
    ("12.4.2 a malformed weight: the member does not count", "gzip;q=2, br;q=.5, zstd;q=x", None),
    ("12.4.2 a malformed weight: the member does not count", "gzip;q=0.1234", None),
    ("12.4.2 a malformed weight: the member does not count", "zstd;q=-1, gzip;q=0.1", "gzip"),
    ("12.5.3 no other parameters", "gzip;level=9, br;x=1;q=1", None),
    ("5.6.1.2 empty members", ", ,gzip,,", "gzip"),
    ("12.5.3 * is every other", "*", "zstd"),
    ("12.5.3 * is every other", "zstd;q=0, br;q=0, *;q=0.1", "gzip"),
    ("12.5.3 * is every other", "gzip;q=0.2, *;q=0.3", "zstd"),
    ("12.5.3 * is every other", "gzip, *;q=0", "gzip"),
    ("12.5.3 identity may be preferred", "identity, gzip;q=0.5", None),
    ("12.5.3 identity may be preferred", "identity;q=0.6, *;q=0.5", None),
    ("12.5.3 identity last among equals", "identity;q=0.5, gzip;q=0.5", "gzip"),
    ("12.5.3 identity unlisted is last", "gzip;q=0.001", "gzip"),
    ("12.5.3 the same twice: the lower weight", "gzip, gzip;q=0", None),
    ("12.5.3 identity refused", "identity;q=0, gzip", "gzip"),
    ("12.5.3 * refuses identity too", "*;q=0, br", "br"),
    ("12.5.3 identity refused, any other", "identity;q=0, *", "zstd"),
]


@pytest.mark.parametrize(("rule", "accept", "coding"), NEGOTIATION)
def test_negotiation(rule: str, accept: str | None, coding: str | None) -> None:
    response = answer({} if accept is None else {"Accept-Encoding": accept})
    assert (response.status, response.field("content-encoding")) == (200, coding), rule
    assert decoded(response) == BODY
    assert response.field("content-length") == str(len(response.body))
    assert response.field("vary") == "Accept-Encoding"


def test_several_lines_are_one_list() -> None:
    """RFC 9110 §5.2, §5.3."""
    lines = [("accept-encoding", "br;q=0"), ("ACCEPT-ENCODING", "zstd;q=0, gzip;q=0.1")]
    assert answer(lines).field("content-encoding") == "gzip"


NOTHING_FITS = ["identity;q=0", "*;q=0", "identity;q=0, deflate", "gzip;q=0, *;q=0"]


@pytest.mark.parametrize("accept", NOTHING_FITS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_406_only_where_identity_is_refused_too(accept: str, method: str) -> None:
    """§12.5.3, §15.5.7; §13.2.1: conditions do not matter to what would not be 2xx."""
    response = answer({"accept-encoding": accept, "if-none-match": "*"}, method)
    assert response.status == 406
    assert response.field("content-type") == "application/problem+json"
    assert response.field("vary") == "Accept-Encoding"
    assert response.field("etag") is None
    assert (b"zstd, br, gzip, identity" in response.body) == (method == "GET")


def test_refused_identity_overrides_threshold_type_and_size() -> None:
    """§12.5.3: what is acceptable is sent, even where it is not worth it."""
    request = {"accept-encoding": "gzip, identity;q=0"}
    for changes in ({"body": SMALL}, {"body": b""}, {"media_type": "image/png"}):
        response = answer(request, **changes)
        assert response.field("content-encoding") == "gzip"
        assert decoded(response) == changes.get("body", BODY)


def test_what_was_done_already_is_told_even_if_only_in_identity() -> None:
    """§12.4.1 lets a server disregard the field: a 406 would hide what became of a POST."""
    assert answer({"accept-encoding": "identity;q=0"}, "POST").status == 200
    assert answer({"accept-encoding": "identity;q=0"}, status=500).status == 500


@pytest.mark.parametrize(
    ("size", "coding"), [(0, None), (1023, None), (1024, "gzip"), (1025, "gzip")]
)
def test_bodies_from_1024_bytes_on_get_a_coding(size: int, coding: str | None) -> None:
    response = answer({"accept-encoding": "gzip"}, body=b"a" * size)
    assert response.field("content-encoding") == coding
    assert response.field("vary") == "Accept-Encoding"


@pytest.mark.parametrize(
    ("media_type", "coded"),
    [
        ("text/html; charset=utf-8", True),
        ("application/problem+json", True),
        ("Application/JSON", True),
        ("image/svg+xml", True),
        ("image/png", False),
        ("application/zip", False),
        ("video/mp4", False),
        ("application/octet-stream", False),
    ],
)
def test_types_that_are_compressed_already_get_no_coding(media_type: str, coded: bool) -> None:
    response = answer({"accept-encoding": "gzip"}, media_type=media_type)
    assert (response.field("content-encoding") is not None) == coded
    assert response.field("content-type") == media_type


def test_a_body_that_would_grow_is_sent_as_it_is() -> None:
    noise = np.random.default_rng(1).bytes(1500)
    response = answer({"accept-encoding": "gzip"}, body=noise, media_type="text/plain")
    assert response.field("content-encoding") is None
    tag = response.field("etag") or ""
    again = answer(
        {"accept-encoding": "gzip", "if-none-match": tag}, body=noise, media_type="text/plain"
    )
    assert (again.status, again.field("etag")) == (304, tag)


@pytest.mark.parametrize("control", ["no-transform", "max-age=5, No-Transform"])
def test_no_transform_keeps_codings_away(control: str) -> None:
    """RFC 9111 §5.2.2.6."""
    response = answer({"accept-encoding": "gzip"}, cache_control=control)
    assert (response.field("content-encoding"), response.body) == (None, BODY)
    assert answer({"accept-encoding": "gzip, *;q=0"}, cache_control=control).status == 406


def test_digest_of_the_content_keeps_codings_away() -> None:
    """RFC 9530 §2, §3: they are over the coded bytes."""
    fields = (("Repr-Digest", "sha-256=:AAAA:"),)
    assert answer({"accept-encoding": "gzip"}, fields=fields).field("content-encoding") is None


# -- ETags -------------------------------------------------------------------------------------


def tag_of(accept: str = "", **changes: Any) -> str:
    tag = answer({"accept-encoding": accept}, **changes).field("etag")
    assert tag is not None
    return tag


def test_every_coding_has_a_strong_etag_of_its_own() -> None:
    """§8.8.3.3."""
    tags = {tag_of(accept) for accept in ("", "gzip", "br", "zstd")}
    assert len(tags) == 4
    assert all(tag.startswith('"') and tag.endswith('"') for tag in tags)


def test_an_etag_of_ones_own_is_told_apart_by_coding_and_a_weak_one_stays() -> None:
    """§8.8.3.3, and §8.8.1: a weak one may be shared."""
    assert tag_of(etag='"v1"') == '"v1"'
    assert tag_of("gzip", etag='"v1"') == f'"v1-{GZIP.tag}"'
    assert tag_of("gzip", etag='W/"v1"') == 'W/"v1"'


def test_what_may_not_be_stored_gets_no_etag_made() -> None:
    assert answer(cache_control="no-store").field("etag") is None
    assert answer(cache_control="no-store", etag='"v1"').field("etag") == '"v1"'


def test_the_etag_after_a_post_is_the_resources_not_the_bodys() -> None:
    """§8.8: validators of a response to an unsafe method are of the new state."""
    response = answer({"accept-encoding": "gzip"}, "POST", etag='"v2"')
    assert response.field("content-encoding") == "gzip"
    assert response.field("etag") == '"v2"'
    assert answer({}, "POST").field("etag") is None
    assert tag_of("gzip", status=404, etag='"v2"') == f'"v2-{GZIP.tag}"'


# -- conditions --------------------------------------------------------------------------------

V1, V1_GZIP, V1_ZSTD = '"v1"', f'"v1-{GZIP.tag}"', f'"v1-{ZSTD.tag}"'

CONDITIONS = [
    # (rule, request, status); the representation is "v1", modified at EARLIER
    ("13.1.2 the tag", {"if-none-match": '"v1"'}, 304),
    ("13.1.2 another tag", {"if-none-match": '"v2"'}, 200),
    ("13.1.2 weak comparison", {"if-none-match": 'W/"v1"'}, 304),
    ("13.1.2 a list", {"if-none-match": '"v0", W/"v3" ,"v1"'}, 304),
    ("13.1.2 a list without it", {"if-none-match": '"v0", "v3"'}, 200),
    ("8.8.3 commas within tags", {"if-none-match": '"v0,v1", ""'}, 200),
    ("5.6.1.2 empty members", {"if-none-match": ', ,"v1",'}, 304),
    ("13.1.2 any", {"if-none-match": " * "}, 304),
    ('13.1.2 "*" in quotes is a tag', {"if-none-match": '"*"'}, 200),
    ("8.8.3 not quoted: malformed", {"if-none-match": "v1"}, 200),
    ("8.8.3 w/ is not W/", {"if-none-match": 'w/"v1"'}, 200),
    ("8.8.3 no comma between: malformed", {"if-none-match": '"v0" "v1"'}, 200),
    ("8.8.3 malformed, with * in it", {"if-none-match": '"v1", *'}, 200),
    ("8.8.3 tags have case", {"if-none-match": '"V1"'}, 200),
    ("13.1.3 not modified since", {"if-modified-since": NOW_TEXT}, 304),
    ("13.1.3 at that very second", {"if-modified-since": EARLIER}, 304),
    ("13.1.3 modified since", {"if-modified-since": "Sun, 06 Nov 1994 08:49:35 GMT"}, 200),
    ("5.6.7 RFC 850", {"if-modified-since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),
    ("5.6.7 asctime", {"if-modified-since": "Sun Nov  6 08:49:37 1994"}, 304),
    ("5.6.7 over 50 years ahead", {"if-modified-since": "Monday, 01-Jan-45 00:00:00 GMT"}, 200),
    ("5.6.7 less than that", {"if-modified-since": "Friday, 01-Jan-44 00:00:00 GMT"}, 304),
    ("13.1.3 not a date", {"if-modified-since": "yesterday"}, 200),
    ("13.1.3 not a date", {"if-modified-since": "Sun, 31 Feb 1999 08:49:37 GMT"}, 200),
    ("13.1.3 more than one", {"if-modified-since": f"{NOW_TEXT}, {NOW_TEXT}"}, 200),
    ("5.6.7 only GMT", {"if-modified-since": "Sun, 06 Nov 1994 08:49:37 +0000"}, 200),
    ("13.1.3 If-None-Match wins", {"if-none-match": '"v2"', "if-modified-since": LATER}, 200),
    ("13.1.3 a malformed one wins too", {"if-none-match": "v2", "if-modified-since": LATER}, 200),
    ("13.1.3 If-None-Match wins",
     {"if-none-match": '"v1"', "if-modified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 304),
    ("13.1.1 the tag", {"if-match": '"v1"'}, 200),
    ("13.1.1 another", {"if-match": '"v2"'}, 412),
    ("13.1.1 strong comparison", {"if-match": 'W/"v1"'}, 412),
    ("13.1.1 any", {"if-match": "*"}, 200),
    ("13.1.4 unmodified since", {"if-unmodified-since": EARLIER}, 200),
    ("13.1.4 modified since", {"if-unmodified-since": "Sun, 06 Nov 1994 08:49:35 GMT"}, 412),
    ("13.1.4 not a date", {"if-unmodified-since": "now"}, 200),
    ("13.1.4 If-Match wins",
     {"if-match": '"v1"', "if-unmodified-since": "Thu, 01 Jan 1970 00:00:00 GMT"}, 200),
    ("13.2.2 If-Match before If-None-Match", {"if-match": '"v2"', "if-none-match": '"v1"'}, 412),
    ("13.2.2 If-Match, then If-None-Match", {"if-match": '"v1"', "if-none-match": '"v1"'}, 304),
    # the selected representation is the coded one (§8.8.3.3)
    ("13.1.2 the coded one's tag", {"accept-encoding": "gzip", "if-none-match": V1_GZIP}, 304),
    ("13.1.2 weakly, too", {"accept-encoding": "gzip", "if-none-match": f"W/{V1_GZIP}"}, 304),
    ("13.1.2 the plain one's tag", {"accept-encoding": "gzip", "if-none-match": V1}, 200),
    ("13.1.2 another coding's tag", {"accept-encoding": "gzip", "if-none-match": V1_ZSTD}, 200),
    ("13.1.2 a coded tag, without coding", {"if-none-match": V1_GZIP}, 200),
    ("9111 4.3.1 all that a cache holds",
     {"accept-encoding": "gzip", "if-none-match": f"{V1}, {V1_ZSTD}, {V1_GZIP}"}, 304),
    ("13.1.1 the coded one's tag", {"accept-encoding": "gzip", "if-match": V1_GZIP}, 200),
    ("13.1.1 the plain one's tag", {"accept-encoding": "gzip", "if-match": V1}, 412),
    ("13.1.2 any", {"accept-encoding": "gzip", "if-none-match": "*"}, 304),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "request_fields", "status"), CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(rule: str, request_fields: dict[str, str], status: int, method: str) -> None:
    response = answer(request_fields, method, etag='"v1"', last_modified=MODIFIED)
    assert response.status == status, rule
    assert response.field("vary") == "Accept-Encoding"
    coded = request_fields.get("accept-encoding") is not None
    if status != 412:
        assert response.field("etag") == (V1_GZIP if coded else V1)
    if status != 200 or method == "HEAD":
        assert (response.body == b"") == (status != 412 or method == "HEAD")


def test_a_weak_tag_never_matches_strongly_and_always_weakly() -> None:
    """§8.8.3.2."""
    for held in ('W/"v1"', '"v1"'):
        assert answer({"if-match": held}, etag='W/"v1"').status == 412
        assert answer({"if-none-match": held}, etag='W/"v1"').status == 304


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods_have_no_conditions(method: str) -> None:
    """§13.2.1: they are judged before the method does its work."""
    request = {"if-none-match": "*", "if-match": '"v0"', "if-modified-since": LATER}
    assert answer(request, method, etag='"v1"', last_modified=MODIFIED).status == 200


@pytest.mark.parametrize("status", [201, 301, 404, 500])
def test_other_statuses_have_no_conditions(status: int) -> None:
    """§13.2.1."""
    assert answer({"if-none-match": "*", "if-match": '"v0"'}, status=status).status == status


def test_without_a_date_if_modified_since_is_ignored() -> None:
    """§13.1.3."""
    assert answer({"if-modified-since": LATER}).status == 200


# -- fields ------------------------------------------------------------------------------------

FULL = (
    ("Content-Location", "/tasks.json"),
    ("Expires", LATER),
    ("Date", NOW_TEXT),
    ("Vary", "Accept"),
    ("Content-Language", "en"),
    ("Accept-Ranges", "bytes"),
    ("Access-Control-Allow-Origin", "*"),
    ("Link", '</a>; rel="next"'),
    ("Link", '</b>; rel="prev"'),
    ("Vary", "Origin"),
)


def test_a_304_repeats_what_a_cache_needs_and_no_more() -> None:
    """§15.4.5; Last-Modified is of use only without an ETag."""
    request = {"accept-encoding": "gzip"}
    changes: dict[str, Any] = {
        "fields": FULL,
        "cache_control": "max-age=60",
        "last_modified": MODIFIED,
    }
    full = answer(request, **changes)
    request["if-none-match"] = full.field("etag") or ""
    short = answer(request, **changes)
    assert short.status == 304
    for name in ("cache-control", "content-location", "date", "etag", "expires", "vary", "link",
                 "access-control-allow-origin"):  # fmt: skip
        assert short.field(name) is not None
        assert short.field(name) == full.field(name), name
    for name in ("content-type", "content-encoding", "content-length", "content-language",
                 "last-modified", "accept-ranges"):  # fmt: skip
        assert short.field(name) is None, name
    assert full.field("vary") == "Accept, Origin, Accept-Encoding"
    assert full.field("last-modified") == EARLIER
    assert full.field("accept-ranges") is None, "no ranges of a coded body"


def test_a_304_without_etag_says_when_the_content_was_modified() -> None:
    """§15.4.5."""
    response = answer(
        {"if-modified-since": LATER}, last_modified=MODIFIED, cache_control="no-store"
    )
    assert (response.status, response.field("last-modified")) == (304, EARLIER)


def test_the_tag_of_a_304_is_that_of_the_200_whatever_led_there() -> None:
    """§15.4.5."""
    for accept in ("", "gzip", "zstd", "br;q=0.5, identity;q=0.1"):
        full = answer({"accept-encoding": accept}, last_modified=MODIFIED)
        by_date = answer(
            {"accept-encoding": accept, "if-modified-since": LATER}, last_modified=MODIFIED
        )
        assert by_date.status == 304
        assert by_date.field("etag") == full.field("etag")


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "Accept-Encoding"),
        ("Accept", "Accept, Accept-Encoding"),
        ("accept-encoding", "accept-encoding"),
        ("Origin, Accept-Encoding , Cookie", "Origin, Accept-Encoding , Cookie"),
        ("X-Accept-Encoding", "X-Accept-Encoding, Accept-Encoding"),
        ("*", "*"),
    ],
)
@pytest.mark.parametrize("accept", ["", "gzip"])
def test_vary_is_added_to(given: str | None, sent: str, accept: str) -> None:
    """§12.5.5, for identity as well."""
    fields = () if given is None else (("vary", given),)
    assert answer({"accept-encoding": accept}, fields=fields).field("vary") == sent


def test_head_has_the_fields_of_get_and_no_body() -> None:
    """§9.3.2."""
    for accept in ("", "gzip", "zstd"):
        get = answer({"accept-encoding": accept}, last_modified=MODIFIED)
        head = answer({"accept-encoding": accept}, "HEAD", last_modified=MODIFIED)
        assert head.fields == get.fields
        assert (head.status, head.body) == (200, b"")


def test_last_modified_is_never_later_than_the_response() -> None:
    """§8.8.2.1."""
    response = answer({"if-modified-since": EARLIER}, last_modified=NOW + 3600)
    assert (response.status, response.field("last-modified")) == (200, NOW_TEXT)
