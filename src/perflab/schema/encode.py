"""PostgreSQL's binary COPY format, written a chunk of columns at a time.

Source: PostgreSQL documentation, COPY, "Binary Format": a header, then for each row the number
of fields (int16) and for each field its length (int32, -1 for NULL) and its bytes, all
big-endian; a trailer of int16 -1. A chunk is laid out as a matrix with one row of bytes per
table row, wide enough for the longest value; a mask then squeezes out what is not used. So no
Python code runs per row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"

Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

_TEXT_OID = 25


class Field(msgspec.Struct, frozen=True):
    """One column of a chunk: its bytes, which of them count, and each value's length."""

    data: Bytes
    """(rows, width)"""
    used: Bools | None
    """(rows, width); None where every byte counts."""
    length: npt.NDArray[np.int32] | None
    """(rows,), -1 for NULL; None where every value has ``width`` bytes."""


def fixed(values: npt.NDArray[Any], dtype: str, null: Bools | None = None) -> Field:
    """Numbers as big-endian ``dtype`` (">i8" for bigint and timestamptz, ">i4" for date)."""
    data = np.ascontiguousarray(values.astype(dtype)).view(np.uint8).reshape(len(values), -1)
    if null is None:
        return Field(data, None, None)
    width = data.shape[1]
    used = np.repeat(~null[:, None], width, axis=1)
    return Field(data, used, np.where(null, -1, width).astype(np.int32))


def boolean(values: Bools) -> Field:
    """A boolean column."""
    return Field(values.astype(np.uint8)[:, None], None, None)


class Texts:
    """A vocabulary of byte strings from which columns are drawn by index."""

    def __init__(self, texts: Sequence[str], prefix: bytes = b"") -> None:
        encoded = [prefix + text.encode() for text in texts]
        width = max(1, *(len(text) for text in encoded))
        self.lengths = np.array([len(text) for text in encoded], np.int32)
        padded = b"".join(text.ljust(width, b"\0") for text in encoded)
        self.data: Bytes = np.frombuffer(padded, np.uint8).reshape(len(encoded), width)
        self.used: Bools = np.arange(width) < self.lengths[:, None]

    def take(self, index: npt.NDArray[np.integer[Any]]) -> Field:
        """The column of the strings at ``index``."""
        return Field(
            self.data.take(index, axis=0),
            self.used.take(index, axis=0),
            self.lengths.take(index),
        )


def json_texts(texts: Sequence[str]) -> Texts:
    """A vocabulary of jsonb values: their text after a version byte."""
    return Texts(texts, prefix=b"\x01")


def text_array(texts: Texts, index: npt.NDArray[np.integer[Any]], present: Bools) -> Field:
    """A text[] column: row r holds the strings ``index[r, k]`` where ``present[r, k]``."""
    rows, slots = index.shape
    count = present.sum(axis=1)
    head = np.zeros((rows, 5), ">i4")
    head[:, 0] = count > 0
    head[:, 2] = _TEXT_OID
    head[:, 3] = count
    head[:, 4] = 1
    data = [head.view(np.uint8)]
    head_used = np.ones((rows, 20), bool)
    head_used[:, 12:] = (count > 0)[:, None]
    used = [head_used]
    for slot in range(slots):
        chosen = index[:, slot]
        data += [
            texts.lengths[chosen].astype(">i4")[:, None].view(np.uint8),
            texts.data[chosen],
        ]
        here = present[:, slot, None]
        used += [np.repeat(here, 4, axis=1), texts.used[chosen] & here]
    mask = np.concatenate(used, axis=1)
    return Field(np.concatenate(data, axis=1), mask, mask.sum(axis=1, dtype=np.int32))


def encode(fields: Sequence[Field]) -> bytes:
    """The rows of a chunk in the binary COPY format, without header and trailer."""
    rows = len(fields[0].data)
    width = 2 + sum(4 + field.data.shape[1] for field in fields)
    out = np.empty((rows, width), np.uint8)
    ragged = any(field.used is not None for field in fields)
    used = np.ones((rows, width), bool) if ragged else None
    out[:, :2] = np.frombuffer(len(fields).to_bytes(2, "big"), np.uint8)
    offset = 2
    for field in fields:
        size = field.data.shape[1]
        if field.length is None:
            out[:, offset : offset + 4] = np.frombuffer(size.to_bytes(4, "big"), np.uint8)
        else:
            big_endian = field.length.astype(">i4")[:, None]
            out[:, offset : offset + 4] = big_endian.view(np.uint8)
        out[:, offset + 4 : offset + 4 + size] = field.data
        if field.used is not None and used is not None:
            used[:, offset + 4 : offset + 4 + size] = field.used
        offset += 4 + size
    # one flat pass is twice as fast as a mask over rows and columns
    return out.tobytes() if used is None else out.ravel()[used.ravel()].tobytes()
