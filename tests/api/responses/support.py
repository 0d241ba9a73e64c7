"""Codings, bodies and readers that the tests of the component share."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import zlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from perflab.api.responses import Coding, Representation, Response, gzip_coding, zstd_coding

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

T = TypeVar("T")

NOW = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110 §5.6.7."""
NOW_TEXT = "Sun, 06 Nov 1994 08:49:37 GMT"


def _stands_in(body: bytes) -> bytes:
    return b"br" + zlib.compress(body)


BR = Coding("br", "stand-in", _stands_in)
"""In place of brotli, so that three codings are offered whatever is installed."""
CODINGS = (zstd_coding(), BR, gzip_coding())
ZSTD, _, GZIP = CODINGS

BODY = json.dumps([{"id": n, "title": f"task {n}"} for n in range(200)]).encode()
SMALL = b'{"id": 1}'


def page(**changes: Any) -> Representation:
    """A representation that is worth compressing."""
    given: dict[str, Any] = {"body": BODY, "media_type": "application/json"}
    return Representation(**(given | changes))


def decoded(response: Response) -> bytes:
    """The body without its coding."""
    coding = response.field("content-encoding")
    if coding is None:
        return response.body
    if coding == "gzip":
        return gzip.decompress(response.body)
    if coding == "zstd":
        return zstd.decompress(response.body)
    assert coding == "br"
    assert response.body.startswith(b"br")
    return zlib.decompress(response.body[2:])


def run(work: Callable[[], Awaitable[T]]) -> T:
    """The result of ``work()``; nothing may be left running."""

    async def watched() -> T:
        result = await asyncio.wait_for(_as_coroutine(work()), 30)
        for _ in range(3):
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left
        return result

    return asyncio.run(watched())


async def _as_coroutine(awaitable: Awaitable[T]) -> T:
    return await awaitable
