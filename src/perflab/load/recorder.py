"""The columns of a run while it lasts: arrays that grow, one row a scheduled request."""

from __future__ import annotations

from array import array
from typing import Final

from perflab.load.outcomes import DROPPED, PENDING

_BLOCK: Final = 4096
_NAN: Final = float("nan")


class Recorder:
    """Rows in the order in which requests were taken up; times are ``perf_counter`` seconds."""

    def __init__(self, expected: int = 0, *, fields: bool, bodies: bool) -> None:
        self.rows = 0
        self._room = 0
        self.scheduled = array("d")
        self.taken = array("d")
        self.started = array("d")
        self.ended = array("d")
        self.status = array("h")
        self.body_bytes = array("q")
        self.outcome = array("b")
        self.fields: list[bytes | None] | None = [] if fields else None
        self.bodies: list[bytes | None] | None = [] if bodies else None
        self._grow(max(expected, _BLOCK))

    def _grow(self, rows: int) -> None:
        for column in (self.scheduled, self.taken, self.started, self.ended):
            column.extend(array("d", (_NAN,)) * rows)
        self.status.extend(array("h", (0,)) * rows)
        self.body_bytes.extend(array("q", (0,)) * rows)
        self.outcome.extend(array("b", (PENDING,)) * rows)
        for texts in (self.fields, self.bodies):
            if texts is not None:
                texts.extend([None] * rows)
        self._room += rows

    def take(self, scheduled: float, now: float) -> int:
        """A new row for a request that was due at ``scheduled`` and is taken up now."""
        row = self.rows
        if row == self._room:
            self._grow(row)
        self.rows = row + 1
        self.scheduled[row] = scheduled
        self.taken[row] = now
        return row

    def drop(self, row: int) -> None:
        """The request is never sent."""
        self.outcome[row] = DROPPED
