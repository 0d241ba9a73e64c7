"""The codings, and what a representation may not be."""

from __future__ import annotations

import importlib
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from perflab.api.responses import (
    Coding,
    Representation,
    ResponseError,
    brotli_coding,
    gzip_coding,
    installed_codings,
    respond,
    zstd_coding,
)
from perflab.api.responses import codings as module

from .support import BODY, CODINGS, GZIP, NOW, page

HAS_BROTLI = importlib.util.find_spec("brotli") is not None


def test_equal_bodies_give_equal_bytes_in_every_thread() -> None:
    """A strong ETag promises it (RFC 9110 §8.8.1)."""
    bodies = [BODY[: 40 * n] for n in range(1, 60)]
    for coding in installed_codings():
        expected = [coding.compress(body) for body in bodies]
        with ThreadPoolExecutor(4) as threads:
            for _ in range(3):
                assert list(threads.map(coding.compress, bodies)) == expected


def test_another_level_is_another_version() -> None:
    versions = {coding(level).version for coding in (gzip_coding, zstd_coding) for level in (1, 5)}
    assert len(versions) == 4
    assert gzip_coding(6) != gzip_coding(7)
    assert gzip_coding(6).tag == gzip_coding().tag


def test_zstd_frames_need_no_larger_window_than_8_mb() -> None:
    """RFC 9659 §3; the window is in the frame's third part (RFC 8878 §3.1.1.1)."""
    coded = zstd_coding(19).compress(bytes(range(256)) * 2**17)
    descriptor, window = coded[4], coded[5]
    single_segment = descriptor >> 5 & 1
    size_bytes = 256 * 2**17
    if not single_segment:
        size_bytes = 2 ** (10 + (window >> 3))
        size_bytes += size_bytes // 8 * (window & 7)
    assert size_bytes <= 8 * 2**20


def test_br_is_offered_where_its_library_is(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [coding.name for coding in installed_codings()]
    assert names == (["zstd", "br", "gzip"] if HAS_BROTLI else ["zstd", "gzip"])
    monkeypatch.setattr(module, "_has_brotli", lambda: False)
    assert [coding.name for coding in installed_codings()] == ["zstd", "gzip"]
    with pytest.raises(ResponseError, match="pip install brotli"):
        brotli_coding()


@pytest.mark.skipif(not HAS_BROTLI, reason="the library brotli is not installed")
def test_br_decodes() -> None:
    library: Any = importlib.import_module("brotli")
    response = respond({"accept-encoding": "br"}, "GET", page(), codings=[brotli_coding()], now=NOW)
    assert response.field("content-encoding") == "br"
    assert library.decompress(response.body) == BODY


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gzip_coding(0), "level 0 of gzip must be a number from 1 to 9"),
        (lambda: zstd_coding(20), "level 20 of zstd must be a number from 1 to 19"),
        (lambda: Coding("identity", "1", bytes), "'identity' is no name of a content coding"),
        (lambda: Coding("GZip", "1", bytes), "'GZip' is no name"),
        (lambda: Coding("x", 'a"b', bytes), "does not fit into an ETag"),
        (lambda: respond({}, "GET", page(), codings=[GZIP, GZIP]), "offered twice: gzip, gzip"),
        (
            lambda: respond({}, "GET", page(), codings=CODINGS, threshold_bytes=-1),
            "threshold_bytes=-1 must be at least 0",
        ),
    ],
)
def test_unusable_coding_is_named(make: Any, message: str) -> None:
    with pytest.raises(ResponseError, match=message):
        make()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"body": "text"}, "a body is bytes, not str"),
        ({"status": 304}, "status 304 is not made of content"),
        ({"status": 206}, "status 206 is not made of content"),
        ({"status": 99}, "status 99"),
        ({"media_type": ""}, "'' is no media type"),
        ({"media_type": "json"}, "'json' is no media type"),
        ({"media_type": "text/plain\r\nX: 1"}, "is no media type"),
        ({"last_modified": float("nan")}, "last_modified=nan must be Unix seconds"),
        ({"last_modified": 1e12}, "up to the year 9999"),
        ({"etag": "v1"}, "the ETag 'v1' is malformed"),
        ({"etag": '"a" "b"'}, "is malformed"),
        ({"cache_control": "a\nb"}, "the field Cache-Control cannot carry"),
        ({"fields": (("X Y", "1"),)}, "'X Y' is no name of a field"),
        ({"fields": (("X", "1\r\nSet-Cookie: a"),)}, "the field X cannot carry"),
        ({"fields": (("X", "→"),)}, "the field X cannot carry"),
        ({"fields": (("ETag", '"1"'),)}, "the field ETag cannot be given: set etag instead"),
        ({"fields": (("content-length", "1"),)}, "it follows from the body"),
        ({"fields": (("Content-Encoding", "gzip"),)}, "given without a coding"),
    ],
)
def test_what_cannot_be_sent_is_named(changes: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"body": b"", "media_type": "text/plain"} | changes
    with pytest.raises(ResponseError, match=message) as caught:
        Representation(**given)
    assert "\n" not in str(caught.value)
