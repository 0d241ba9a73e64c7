"""Entries as bytes: typed MessagePack, compressed where that pays.

The first byte says how to read the rest: four bits of format version, one for an absent value,
two for the compression. So what was written with one setting is read with any other.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec

from perflab.arguments import check_whole
from perflab.cache.entry import ABSENT, CacheError, Entry

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")
Compression = Literal["zstd", "gzip"]

MAX_BYTES: Final = 64 * 2**20
"""Of an entry before compression; more is neither written nor read."""

_VERSION: Final = 0x18
_ABSENT: Final = 0x04
_PLAIN, _ZSTD, _GZIP = 0x00, 0x01, 0x02
_LEVELS: Final[dict[Compression, tuple[int, int]]] = {
    "zstd": zstd.CompressionParameter.compression_level.bounds(),
    "gzip": (zlib.Z_DEFAULT_COMPRESSION, zlib.Z_BEST_COMPRESSION),
}
_GZIP_FORMAT: Final = 31
"""zlib's wbits for a gzip header and the largest window."""


class CodecError(CacheError):
    """A value cannot be written, or bytes are not an entry of this type."""


class _Record(Entry, Generic[T], frozen=True, array_like=True, gc=False):
    """An entry as it is written: what is read is an entry without more ado."""

    value: T


class Codec:
    """Writes and reads entries whose values have one type.

    Args:
        type: anything that msgspec knows: a Struct, dataclass, TypedDict, builtin. ``Any`` reads
            back plain builtins. A value is checked against the type when it is read.
        compression: how entries from ``threshold_bytes`` on are compressed; None never does. It
            is left out where it does not make an entry smaller.
        threshold_bytes: smaller entries are not worth the time. At the default zstd takes some
            40 µs for both ways and saves three quarters of a list of records, which a gigabit
            network would carry in 30 µs. Half of the time is the making of a context for
            reading; gzip has none, so it reads small entries faster and writes them slower.
        level: of the compression; its own default where None.
    """

    def __init__(
        self,
        type: Any = Any,
        *,
        compression: Compression | None = "zstd",
        threshold_bytes: int = 4096,
        level: int | None = None,
    ) -> None:
        if compression not in (None, "zstd", "gzip"):
            raise CodecError(f"unknown compression {compression!r}; use zstd, gzip or None")
        try:
            self._decoder = msgspec.msgpack.Decoder(_Record[type])
        except TypeError as error:
            raise CodecError(f"values of this type cannot be cached: {error}") from None
        check_whole("threshold_bytes", threshold_bytes, CodecError, least=0)
        if level is not None:
            least, most = _LEVELS[compression or "zstd"]
            check_whole("level", level, CodecError, least=least, most=most)
        self._type = type
        self._absent_decoder = msgspec.msgpack.Decoder(_Record[None])
        self._encoder = msgspec.msgpack.Encoder()
        self._compression = compression
        self._threshold_bytes = threshold_bytes
        self._level = level
        # one context for all entries: making a new one takes ten times as long as using it
        self._zstd = zstd.ZstdCompressor(level=level) if compression == "zstd" else None

    def __reduce__(self) -> tuple[Callable[..., Codec], tuple[Any, ...]]:
        """Policies travel to other processes, and their codecs with them."""
        return _made, (self._type, self._compression, self._threshold_bytes, self._level)

    def encode(self, entry: Entry) -> bytes:
        """The entry as bytes; a CodecError if its value cannot be written."""
        absent = entry.value is ABSENT
        record = _Record(
            None if absent else entry.value,
            entry.loaded_at,
            entry.expires_at,
            entry.stale_until,
            entry.load_s,
            entry.tags,
            entry.versions,
        )
        try:
            body = self._encoder.encode(record)
        except (
            TypeError,
            ValueError,
            OverflowError,
            RecursionError,
            msgspec.MsgspecError,
        ) as error:
            kind = type(entry.value).__name__
            raise CodecError(f"a value of type {kind} cannot be cached: {error}") from None
        if len(body) > MAX_BYTES:
            raise CodecError(
                f"an entry of {len(body)} bytes is too large; {MAX_BYTES} may be cached"
            )
        header = _VERSION | (_ABSENT if absent else 0)
        if self._compression is not None and len(body) >= self._threshold_bytes:
            packed, method = self._compress(body)
            if len(packed) < len(body):
                return bytes((header | method,)) + packed
        return bytes((header,)) + body

    def decode(self, data: bytes) -> Entry:
        """The entry; a CodecError if the bytes are damaged, foreign, or of another type."""
        if not data or data[0] & 0xF8 != _VERSION:
            raise CodecError("the bytes are not an entry of this version of the cache")
        header = data[0]
        body: bytes | memoryview = memoryview(data)[1:]
        method = header & 0x03
        try:
            if method != _PLAIN:
                body = _decompress(body, method)
            if header & _ABSENT:
                return msgspec.structs.replace(self._absent_decoder.decode(body), value=ABSENT)
            entry: Entry = self._decoder.decode(body)
        except (msgspec.MsgspecError, zstd.ZstdError, zlib.error, ValueError) as error:
            raise CodecError(f"the bytes are not an entry of this type: {error}") from None
        return entry

    def _compress(self, body: bytes) -> tuple[bytes, int]:
        if self._zstd is not None:
            return self._zstd.compress(body, zstd.ZstdCompressor.FLUSH_FRAME), _ZSTD
        level = zlib.Z_DEFAULT_COMPRESSION if self._level is None else self._level
        return zlib.compress(body, level, wbits=_GZIP_FORMAT), _GZIP


def _made(
    type: Any, compression: Compression | None, threshold_bytes: int, level: int | None
) -> Codec:
    return Codec(type, compression=compression, threshold_bytes=threshold_bytes, level=level)


def _decompress(body: bytes | memoryview, method: int) -> bytes:
    stream: Any
    if method == _ZSTD:
        stream = zstd.ZstdDecompressor()
    elif method == _GZIP:
        stream = zlib.decompressobj(_GZIP_FORMAT)
    else:
        raise CodecError("the bytes are compressed in an unknown way")
    plain: bytes = stream.decompress(body, MAX_BYTES)
    if not stream.eof or stream.unused_data:
        raise CodecError("the compressed bytes are cut short, too large, or followed by others")
    return plain
