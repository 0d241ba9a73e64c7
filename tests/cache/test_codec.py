from __future__ import annotations

import copy
import pickle
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perflab.cache.codec import Codec, CodecError, Compression
from perflab.cache.entry import ABSENT, Entry
from perflab.cache.policy import CachePolicy

COMPRESSIONS: tuple[Compression | None, ...] = (None, "zstd", "gzip")

names = st.text(min_size=1, max_size=20)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
times = st.floats(0, 4e9)
entries = st.builds(
    Entry,
    value=plain | st.just(ABSENT),
    loaded_at=times,
    expires_at=times,
    stale_until=times,
    load_s=st.floats(0, 1e3),
    tags=st.lists(names).map(tuple),
    versions=st.lists(st.binary(max_size=16)).map(tuple),
)


class User(msgspec.Struct, frozen=True):
    id: int
    name: str


def entry(value: Any) -> Entry:
    return Entry(value, 1.0, 2.0, 3.0, 0.5, ("users",), (b"v0", b"v1"))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@given(written=entries)
def test_reads_back_what_was_written(compression: Compression | None, written: Entry) -> None:
    codec = Codec(compression=compression, threshold_bytes=0)
    assert codec.decode(codec.encode(written)) == written


def test_values_come_back_in_their_type() -> None:
    codec = Codec(User)
    assert codec.decode(codec.encode(entry(User(7, "Ada")))).value == User(7, "Ada")


def test_an_absent_value_is_neither_none_nor_of_the_type() -> None:
    codec = Codec(User)
    assert codec.decode(codec.encode(entry(ABSENT))).value is ABSENT
    untyped = Codec()
    assert untyped.decode(untyped.encode(entry(None))).value is None


@pytest.mark.parametrize("writer", COMPRESSIONS)
@pytest.mark.parametrize("reader", COMPRESSIONS)
def test_any_setting_reads_what_any_other_wrote(
    writer: Compression | None, reader: Compression | None
) -> None:
    written = entry(["the same words again"] * 300)
    data = Codec(compression=writer).encode(written)
    assert Codec(compression=reader).decode(data) == written


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_compresses_from_the_threshold_on_and_only_where_it_helps(compression: Compression) -> None:
    codec = Codec(compression=compression, threshold_bytes=1_000)
    plain = Codec(compression=None)
    long, short = entry("a" * 5_000), entry("a" * 500)
    noise = entry(bytes(range(256)) * 4)  # zlib and zstd find nothing to gain in 256 distinct bytes
    assert len(codec.encode(long)) < len(plain.encode(long)) / 10
    assert codec.encode(short) == plain.encode(short)
    assert len(codec.encode(noise)) <= len(plain.encode(noise))


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_every_truncation_is_noticed(compression: Compression | None) -> None:
    codec = Codec(compression=compression, threshold_bytes=0)
    data = codec.encode(entry("some text " * 20))
    for length in range(len(data)):
        with pytest.raises(CodecError):
            codec.decode(data[:length])


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_bytes_appended_by_somebody_else_are_noticed(compression: Compression | None) -> None:
    codec = Codec(compression=compression, threshold_bytes=0)
    with pytest.raises(CodecError):
        codec.decode(codec.encode(entry("some text " * 20)) + b"x")


@given(st.binary(max_size=200))
def test_foreign_bytes_raise_nothing_but_a_codec_error(data: bytes) -> None:
    for header in (b"", b"\x10", b"\x18", b"\x19", b"\x1a", b"\x1b", b"\x1c"):
        try:
            found = Codec(User).decode(header + data)
        except CodecError:
            continue
        assert isinstance(found.value, User) or found.value is ABSENT


def test_a_value_of_another_type_is_refused_when_read() -> None:
    data = Codec().encode(entry({"id": "seven", "name": "Ada"}))
    with pytest.raises(CodecError, match="not an entry of this type"):
        Codec(User).decode(data)


@pytest.mark.parametrize("value", [object(), 2**70, {"deep": object()}])
def test_a_value_that_cannot_be_written_is_named_by_its_type(value: object) -> None:
    with pytest.raises(CodecError, match=f"a value of type {type(value).__name__} cannot"):
        Codec().encode(entry(value))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = b"\x1a" + zlib.compress(bytes(200 * 2**20), wbits=31)
    with pytest.raises(CodecError, match="too large"):
        Codec().decode(bomb)


def test_unknown_compression_and_impossible_types_are_refused() -> None:
    with pytest.raises(CodecError, match="use zstd, gzip or None"):
        Codec(compression="lzma")  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="cannot be cached"):
        Codec(int | User | list[User] | tuple[int, ...])


def test_a_policy_travels_to_another_process_with_its_codec() -> None:
    codec = Codec(dict[str, int], compression="gzip", threshold_bytes=10, level=3)
    policy = CachePolicy(name="mine", ttl_s=1.0, codec=codec)
    sent = pickle.loads(pickle.dumps(policy))  # noqa: S301 - this test's own
    for copied in (sent, copy.deepcopy(policy)):
        assert isinstance(copied.codec, Codec)
        written = Entry({"n" * 100: 1}, 0.0, 1.0, 1.0)
        data = codec.encode(written)
        assert copied.codec.encode(written) == data
        assert copied.codec.decode(data) == written
        with pytest.raises(CodecError):
            copied.codec.decode(Codec().encode(Entry("text", 0.0, 1.0, 1.0)))
