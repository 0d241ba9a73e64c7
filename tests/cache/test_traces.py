from __future__ import annotations

import gzip
import lzma
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.trace_formats import FORMATS, FormatName
from perflab.cache.traces import (
    BLOCK_BYTES,
    MAX_LINE_BYTES,
    SHOWN,
    Trace,
    TraceError,
    hash_keys,
    open_trace,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".zst": zstd.compress,
}
LIBCACHESIM = "version,time,op,size,lbn\n1,100,2a,512,7\n1,101,28,4096,8\n1,103,28,512,7\n"
TWITTER = (
    "0,abc,3,100,1,get,0\n0,abc,3,100,1,set,3600\n1,d-e,3,7,2,gets,0\n2,abc,3,100,1,delete,0\n"
)
LOG = (
    '1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a?x=1 HTTP/1.1" 200 2326 "-" "curl/8"\n'
    'www.example.com:443 ::1 - al [10/Oct/2000:20:55:37 +0000] "POST /a HTTP/2.0" 204 -\n'
    '1.2.3.4 - - [10/Oct/2000:13:55:38 -0700] "GET /q\\"uote HTTP/1.1" 304 0 "r" "a\\"b"\n'
)
EXAMPLES: dict[FormatName, str] = {
    "keys": "a\nb\na\n",
    "csv": "when;key\n1;a\n2;b\n",
    "libcachesim": LIBCACHESIM,
    "twitter": TWITTER,
    "access_log": LOG,
}


def write(folder: Path, text: str | bytes, name: str = "trace.txt") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def keys_of(trace: Trace) -> list[int]:
    return [key for chunk in trace.chunks() for key in chunk.keys.tolist()]


def hashed(*keys: str) -> list[int]:
    return [int(key) for key in hash_keys(list(keys))]


def column(trace: Trace, name: str) -> list[float]:
    return [value for chunk in trace.chunks() for value in getattr(chunk, name).tolist()]


@pytest.mark.parametrize("suffix", COMPRESSORS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_one_key_a_line_in_every_compression(
    tmp_path: Path, suffix: str, end: str, last: bool
) -> None:
    text = end.join(["user:1", "user:2", "user:1"]) + (end if last else "")
    trace = open_trace(write(tmp_path, COMPRESSORS[suffix](text.encode()), f"trace.txt{suffix}"))
    assert trace.format == "keys"
    assert keys_of(trace) == hashed("user:1", "user:2", "user:1")
    assert (trace.reading.lines, trace.reading.accesses) == (3, 3)


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".zst"])
def test_compression_is_told_from_the_content_not_the_name(tmp_path: Path, suffix: str) -> None:
    trace = open_trace(write(tmp_path, COMPRESSORS[suffix](b"a\nb\n"), "trace"))
    assert keys_of(trace) == hashed("a", "b")


@pytest.mark.parametrize(("name", "text"), EXAMPLES.items())
def test_the_format_is_told_from_name_and_first_lines(
    tmp_path: Path, name: FormatName, text: str
) -> None:
    file_name = "trace.csv" if name == "csv" else "trace"
    assert open_trace(write(tmp_path, text, file_name)).format == name
    assert (
        open_trace(write(tmp_path, gzip.compress(text.encode()), f"{file_name}.gz")).format == name
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_can_be_forced(tmp_path: Path, name: FormatName) -> None:
    path = write(tmp_path, EXAMPLES[name], "trace.dat")
    assert open_trace(path, format=name).format == name
    assert keys_of(open_trace(path, format=name))


def test_libcachesim(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, LIBCACHESIM))
    assert keys_of(trace) == hashed("7", "8", "7")
    assert column(trace, "times") == [100, 101, 103]
    assert column(trace, "sizes") == [512, 4096, 512]
    assert trace.reading.skipped == 1


def test_of_a_twitter_trace_reads_are_accesses_and_writes_are_skipped(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, TWITTER))
    assert keys_of(trace) == hashed("abc", "d-e")
    assert column(trace, "times") == [0, 1]
    assert column(trace, "sizes") == [103, 10]
    assert (trace.reading.accesses, trace.reading.skipped) == (2, 2)


def test_an_access_log_by_method_and_url_or_by_path(tmp_path: Path) -> None:
    path = write(tmp_path, LOG)
    assert keys_of(open_trace(path)) == hashed("GET /a?x=1", "POST /a", 'GET /q\\"uote')
    by_path = open_trace(path, by_path=True)
    assert keys_of(by_path) == hashed("/a", "/a", '/q\\"uote')
    assert column(by_path, "times") == [971211336, 971211337, 971211338]
    assert column(by_path, "sizes") == [2326, 0, 0]


CSV = 'id,t,bytes\n"a,b",1.5,10\nc,2,20\n'


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["a,b", "c"]),
        ({"column": "id"}, ["a,b", "c"]),
        ({"column": 0, "header": True}, ["a,b", "c"]),
        ({"column": 0}, ["id", "a,b", "c"]),
        ({"column": "t"}, ["1.5", "2"]),
    ],
)
def test_a_csv_column_by_name_or_number(
    tmp_path: Path, options: dict[str, object], expected: list[str]
) -> None:
    trace = open_trace(write(tmp_path, CSV, "trace.csv"), **options)  # type: ignore[arg-type]
    assert keys_of(trace) == hashed(*expected)


def test_csv_times_and_sizes(tmp_path: Path) -> None:
    path = write(tmp_path, CSV)
    trace = open_trace(path, column="id", time_column="t", size_column=2)
    assert column(trace, "times") == [1.5, 2]
    assert column(trace, "sizes") == [10, 20]


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_told(tmp_path: Path, delimiter: str) -> None:
    text = f"key{delimiter}x\nk 1{delimiter}2\n"
    assert keys_of(open_trace(write(tmp_path, text, "trace.csv"))) == hashed("k 1")


def test_the_same_key_hashes_the_same_in_every_format(tmp_path: Path) -> None:
    plain = keys_of(open_trace(write(tmp_path, "7\n8\n7\n", "a")))
    assert plain == keys_of(open_trace(write(tmp_path, LIBCACHESIM, "b")))


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert keys_of(open_trace(write(tmp_path, b"\xef\xbb\xbfa\na\n"))) == hashed("a", "a")


def test_keys_that_are_not_utf8_stay_apart(tmp_path: Path) -> None:
    first, second, third = keys_of(open_trace(write(tmp_path, b"\xff\n\xfe\n\xff\n")))
    assert first == third != second


def test_every_pass_reads_the_same(tmp_path: Path) -> None:
    trace = open_trace(write(tmp_path, "a\nb\n\nc\n"))
    assert keys_of(trace) == keys_of(trace)
    assert (trace.reading.lines, trace.reading.skipped) == (4, 1)


@given(
    lines=st.lists(st.text("ab,\u00e9 ", max_size=6), min_size=1, max_size=60),
    block=st.integers(1, 40),
)
def test_the_ends_of_blocks_do_not_show(
    lines: list[str], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if not any(lines):
        lines.append("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("perflab.cache.traces.BLOCK_BYTES", block)
        path = write(tmp_path_factory.mktemp("blocks"), "x\n" + "\n".join(lines))
        trace = open_trace(path, format="keys")
        assert keys_of(trace) == hashed("x", *[line for line in lines if line])
        assert trace.reading.lines == 1 + len("\n".join(lines).removesuffix("\n").split("\n"))


def test_malformed_lines_are_counted_and_the_first_shown_with_their_numbers(
    tmp_path: Path,
) -> None:
    rows = [f"1,{n},28,512,{n % 50}" for n in range(1000)]
    bad = {10: "1,x,28,512,1", 20: "1,2,28", 500: "1,2,28,-5,1", 501: "1,2,28,512,", 502: "a\x01b"}
    bad |= dict.fromkeys(range(900, 910), "junk")
    for n, line in bad.items():
        rows[n] = line
    trace = open_trace(write(tmp_path, "version,time,op,size,lbn\n" + "\n".join(rows) + "\n"))
    assert column(trace, "times") == [n for n in range(1000) if n not in bad]
    assert len(list(trace.chunks())) == 1
    reading = trace.reading
    assert reading.malformed == len(bad) == 15
    assert [(shown.line, shown.reason) for shown in reading.first] == [
        (12, "field 2 (the time) is no number"),
        (22, "3 fields instead of 5"),
        (502, "field 4 is no whole number from 0 on"),
        (503, "field 5 (the key) is empty"),
        (504, "a control character (code 1)"),
    ]
    assert len(reading.first) == SHOWN
    assert reading.lines == reading.accesses + reading.malformed + reading.skipped
    assert str(reading.first[1]) == "line 22: 3 fields instead of 5: '1,2,28'"


def test_malformed_lines_of_later_blocks_have_their_numbers_too(tmp_path: Path) -> None:
    good = "k" * 99
    count = 3 * BLOCK_BYTES // 100
    lines = [good] * count
    lines[-5] = "bad\x00"
    trace = open_trace(write(tmp_path, "\n".join(lines)))
    assert len(keys_of(trace)) == count - 1
    assert trace.reading.first[0].line == count - 4


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


LONG = "\n".join(str(n * n) for n in range(20_000)).encode()
BAD: dict[str, tuple[bytes, str, dict[str, object], str]] = {
    "empty": (b"", "t", {}, r"t: the file is empty"),
    "only line ends": (b"\n\n\r\n", "t", {}, r"t: the file is empty"),
    "empty gz": (gzip.compress(b""), "t.gz", {}, r"t\.gz: the file is empty"),
    "binary": (b"\x7fELF\x02\x00\x00\x00\n\x00\n", "t", {}, r"t: a binary file; a trace is text"),
    "control characters": (b"\x01\n\x02\n\x03\nok\n", "t", {}, r"3 of its first 4 lines .* line 1"),
    "not gz": (b"a\nb\n", "t.gz", {}, r"name ends in \.gz, its content is no gz file"),
    "not xz": (b"a\nb\n", "t.xz", {}, r"no xz file"),
    "cut gz": (cut(gzip.compress(LONG)), "t.gz", {}, r"damaged or cut short after line \d"),
    "cut xz": (cut(lzma.compress(LONG)), "t.xz", {}, r"damaged or cut short after line \d"),
    "cut zst": (cut(zstd.compress(LONG)), "t.zst", {}, r"damaged or cut short after line \d"),
    "gz header only": (gzip.compress(b"a\n")[:6], "t.gz", {}, r"damaged or cut short after line 0"),
    "gz then junk": (gzip.compress(b"a\n") + b"junk", "t.gz", {}, r"damaged"),
    "flipped gz": (
        gzip.compress(LONG)[:2000] + b"\x00" * 64 + gzip.compress(LONG)[2064:],
        "t.gz",
        {},
        r"damaged",
    ),
    "flipped xz": (
        lzma.compress(LONG)[:2000] + b"\x00" * 64 + lzma.compress(LONG)[2064:],
        "t.xz",
        {},
        r"damaged",
    ),
    "no line ends": (b"x" * (2 * MAX_LINE_BYTES + 5), "t", {}, r"line 1 is longer than"),
    "unknown format": (b"a\n", "t", {"format": "parquet"}, r"unknown format 'parquet'; choose"),
    "forced wrongly": (b"a\nb\n", "t", {"format": "twitter"}, r"2 of its first 2 lines.*line 1"),
    "log forced": (b"a\n", "t", {"format": "access_log"}, r"not a line of the combined log"),
    "which column": (b"a,b\n1,2\n", "t.csv", {}, r"which column holds the key.*'a', 'b'"),
    "no such column": (b"a,b\n1,2\n", "t.csv", {"column": "c"}, r"no column 'c'.*'a', 'b'"),
    "column too far": (b"a,b\n1,2\n", "t.csv", {"column": 2}, r"no column 2: line 1 has 2"),
    "negative column": (b"a,b\n1,2\n", "t.csv", {"column": -1}, r"no column -1"),
    "open quote": (b'"a,b\nc,d\n', "t.csv", {"column": 0}, r"not CSV"),
    "only a header": (b"id,x\n", "t.csv", {"column": "id"}, r"no access in 1 lines"),
    "only writes": (b"0,k,1,1,1,set,0\n", "t", {}, r"no access in 1 lines"),
    "a date that is none": (LOG.replace("10/Oct", "99/Oct").encode(), "t.log", {}, r"line 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_gets_one_clear_line(tmp_path: Path, name: str) -> None:
    content, file_name, options, reason = BAD[name]
    if name == "a date that is none":
        options = {"format": "access_log"}
    path = write(tmp_path, content, file_name)
    with pytest.raises(TraceError, match=reason) as caught:
        keys_of(open_trace(path, **options))  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 400 + len(str(path))


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"none\.txt: cannot be read: No such file"):
        open_trace(tmp_path / "none.txt")
    with pytest.raises(TraceError, match="cannot be read: Is a directory"):
        open_trace(tmp_path)


@given(content=st.binary(max_size=300), suffix=st.sampled_from(["", ".csv", ".gz", ".log"]))
def test_no_content_causes_anything_but_a_trace_error(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("any"), content, f"t{suffix}")
    for name in (None, *FORMATS):
        with suppress(TraceError):
            trace = open_trace(path, format=name)
            accesses = sum(map(len, trace.chunks()))
            reading = trace.reading
            assert 0 < accesses == reading.accesses
            assert reading.lines == accesses + reading.malformed + reading.skipped


def test_hashes_do_not_change_between_processes_and_versions() -> None:
    assert hash_keys(["user:1"]).dtype == np.uint64
    assert f"{hashed('user:1')[0]:016x}" == "81fcf049461289d5"
