"""Cursors: where a page of a list ended, opaque and signed, good for that list alone."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from perflab.api.problems import Problem
from perflab.api.signing import Signer

Value: TypeAlias = datetime | int
"""Of the column that a list is sorted by; the id decides between equal ones."""
LONGEST: Final = 256

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(tuple[Value, int]).decode


class Cursors:
    """Writes and reads the cursors of one API."""

    def __init__(self, secret: str) -> None:
        self._signer = Signer(secret, "cursor")

    def write(self, listing: str, value: Value, row_id: int) -> str:
        """The cursor behind the row with this value and id.

        ``listing`` names user, filters and order: elsewhere the cursor is refused.
        """
        return self._signer.sign(_encode((value, row_id)), listing.encode())

    def read(self, listing: str, cursor: str) -> tuple[Value, int]:
        """Value and id; a 400 if the cursor is not one of this listing's."""
        payload = None
        if len(cursor) <= LONGEST and cursor.isascii():
            payload = self._signer.open(cursor, listing.encode())
        if payload is None:
            raise Problem(
                400, "the cursor is not from this list; start again without one, or keep the query"
            )
        return _decode(payload)
