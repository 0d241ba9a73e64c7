"""Messages that say which they are: each a JSON value of a chosen length with a number in it."""

from __future__ import annotations


def numbered(number: int, size: int) -> bytes:
    """A message of ``size`` bytes, or of as few as its number takes."""
    head = b'[%d,"' % number
    return head + b"x" * max(0, size - len(head) - 2) + b'"]'


def number_of(data: bytes) -> int:
    """Its number."""
    return int(data[1 : data.index(b",")])
