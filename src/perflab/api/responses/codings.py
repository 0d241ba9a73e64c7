"""Content codings: what a body can be compressed with here (RFC 9110 §8.4.1)."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import threading
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from perflab.api.responses.errors import ResponseError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

IDENTITY: Final = "identity"

_GZIP_FORMAT: Final = 31
"""zlib's wbits for a gzip header; its time stamp is 0, so equal bodies give equal bytes."""
_NAME: Final = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_VERSION: Final = re.compile(r"[\x21\x23-\x7e]+")


class Coding(msgspec.Struct, frozen=True):
    """One content coding. A ResponseError names what cannot be one."""

    name: str
    """As in ``Content-Encoding``, in lower case."""
    version: str
    """Changes whenever the same body may give other bytes: another library, release or level."""
    compress: Callable[[bytes], bytes]
    """Called from several threads; equal bodies must give equal bytes."""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in (IDENTITY, "*"):
            raise ResponseError(f"{self.name!r} is no name of a content coding")
        if not _VERSION.fullmatch(self.version):
            raise ResponseError(
                f"the version {self.version!r} of {self.name} does not fit into an ETag"
            )

    @property
    def tag(self) -> str:
        """What tells this coding's bytes from any other's; ETags and variant keys end in it."""
        return f"{self.name}.{self.version}"


def zstd_coding(level: int = 3) -> Coding:
    """``zstd``; 1 to 19. From 20 on frames need a larger window than RFC 9659 §3 allows (8 MB)."""
    _check(level, 1, 19, "zstd")
    version = _version("zstd", ".".join(map(str, zstd.zstd_version_info)), level)
    return Coding("zstd", version, _Zstd(level))


def gzip_coding(level: int = 6) -> Coding:
    """``gzip``; 1 to 9."""
    _check(level, 1, 9, "gzip")

    def compress(body: bytes) -> bytes:
        return zlib.compress(body, level, wbits=_GZIP_FORMAT)

    return Coding("gzip", _version("zlib", zlib.ZLIB_RUNTIME_VERSION, level), compress)


def brotli_coding(level: int = 4) -> Coding:
    """``br``; 0 to 11. A ResponseError if the library ``brotli`` is not installed.

    4 beats 5 on lists of JSON records: smaller by a few per cent, in half the time.
    """
    _check(level, 0, 11, "br")
    if not _has_brotli():
        raise ResponseError("br needs the library brotli: pip install brotli, or leave br out")
    library: Any = importlib.import_module("brotli")

    def compress(body: bytes) -> bytes:
        coded: bytes = library.compress(body, quality=level)
        return coded

    return Coding("br", _version("brotli", str(library.__version__), level), compress)


def installed_codings() -> tuple[Coding, ...]:
    """What can be offered here, in the order in which a client without a preference gets it.

    zstd takes the least time by far; br makes the smallest bodies; every client knows gzip.
    """
    found = [zstd_coding()]
    if _has_brotli():
        found.append(brotli_coding())
    return (*found, gzip_coding())


def names_of(codings: Sequence[Coding]) -> tuple[str, ...]:
    """Their names; a ResponseError if one comes twice."""
    names = tuple(coding.name for coding in codings)
    if len(set(names)) < len(names):
        raise ResponseError(f"a content coding is offered twice: {', '.join(names)}")
    return names


class _Zstd:
    """One context a thread: making a new one takes as long as compressing 8 kB."""

    def __init__(self, level: int) -> None:
        self._level = level
        self._own = threading.local()

    def __call__(self, body: bytes) -> bytes:
        context: zstd.ZstdCompressor | None = getattr(self._own, "context", None)
        if context is None:
            context = self._own.context = zstd.ZstdCompressor(level=self._level)
        return context.compress(body, zstd.ZstdCompressor.FLUSH_FRAME)


def _has_brotli() -> bool:
    return importlib.util.find_spec("brotli") is not None


def _check(level: int, least: int, most: int, name: str) -> None:
    if not isinstance(level, int) or not least <= level <= most:
        raise ResponseError(f"level {level!r} of {name} must be a number from {least} to {most}")


def _version(library: str, release: str, level: int) -> str:
    return hashlib.sha256(f"{library} {release} {level}".encode()).hexdigest()[:6]
