"""The files in which nginx keeps responses: their names, and what their heads tell."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from perflab.cache.edge.names import read_cache_tag

_NAME = re.compile("[0-9a-f]{32}")
_KEY: Final = b"\nKEY: "
_USUAL_HEAD_BYTES: Final = 4_096
_LONGEST_HEAD_BYTES: Final = 65_536
_CACHE_TAG = re.compile(rb"\r\ncache-tag:([^\r]*)", re.IGNORECASE)


class StoredFile(msgspec.Struct, frozen=True):
    """One stored response."""

    path: str
    variant: str
    """The first word of its key."""
    url: str
    """The rest: host, path and query."""
    tags: frozenset[str]


def key(variant: str, url: str) -> str:
    """What ``proxy_cache_key`` of ``nginx_config`` makes of a request."""
    return f"{variant} {url}"


def path_of(folder: Path, key: str, levels: Sequence[int]) -> Path:
    """Where nginx keeps the response with this key."""
    # what nginx names files by; nothing rests on its being hard to forge
    name = hashlib.md5(key.encode(), usedforsecurity=False).hexdigest()
    end = len(name)
    for digits in levels:
        folder /= name[end - digits : end]
        end -= digits
    return folder / name


def stored(folder: Path) -> Iterator[str]:
    """The paths of all stored responses; files that are being written are none yet."""
    for place, _folders, files in os.walk(folder):
        for name in files:
            if _NAME.fullmatch(name):
                yield os.path.join(place, name)


def read(path: str) -> StoredFile | None:
    """What the head of a stored response tells; None if it is gone, or no such file."""
    try:
        with open(path, "rb", buffering=0) as file:
            head = file.read(_USUAL_HEAD_BYTES)
            if b"\r\n\r\n" not in head:
                head += file.read(_LONGEST_HEAD_BYTES - len(head))
    except OSError:
        return None
    start = head.find(_KEY)
    end = head.find(b"\n", start + len(_KEY))
    if start < 0 or end < 0:
        return None
    variant, _, url = head[start + len(_KEY) : end].decode(errors="replace").partition(" ")
    fields = head[end : head.find(b"\r\n\r\n", end) + 2]
    values = (value.decode(errors="replace") for value in _CACHE_TAG.findall(fields))
    return StoredFile(path, variant, url, frozenset().union(*map(read_cache_tag, values)))


def remove(path: str | Path) -> bool:
    """Drop a stored response; whether it was there. An OSError if it cannot be dropped."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
