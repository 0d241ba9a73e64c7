"""What a statement asks of a table: compared with =, ranges, order, constants, containment."""

from __future__ import annotations

import msgspec


class SortKey(msgspec.Struct, frozen=True):
    """One column of an ORDER BY or GROUP BY."""

    column: str
    descending: bool = False
    nulls: str = ""
    """``FIRST`` or ``LAST`` where the statement says so."""

    @property
    def text(self) -> str:
        """As an index spells it."""
        return (
            self.column
            + (" DESC" if self.descending else "")
            + (f" NULLS {self.nulls}" if self.nulls else "")
        )


class Fixed(msgspec.Struct, frozen=True):
    """A condition that every call has, written out in the statement."""

    column: str
    text: str
    values: tuple[str, ...] = ()
    """The constants, as text; empty for IS NULL and its like."""
    null: bool | None = None
    """True for IS NULL, False for IS NOT NULL."""


class Expression(msgspec.Struct, frozen=True):
    """A comparison with something computed from one table's columns."""

    text: str
    """As an index key, in parentheses where it needs them."""
    how: str
    """``equal``, ``range`` or ``prefix``."""


class Contains(msgspec.Struct, frozen=True):
    """A condition that only an inverted index answers."""

    column: str
    operator: str
    """Such as ``@>``; ``~~`` for LIKE with a pattern that has no fixed beginning."""


class TableUse(msgspec.Struct, frozen=True):
    """What one statement asks of one table under one alias."""

    table: str
    equal: tuple[str, ...] = ()
    """Compared with something known beforehand."""
    joined: tuple[str, ...] = ()
    """Compared with = with another table's column."""
    ranges: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    """Compared with LIKE."""
    either: tuple[str, ...] = ()
    """Compared with = on one side of an OR."""
    fixed: tuple[Fixed, ...] = ()
    expressions: tuple[Expression, ...] = ()
    contains: tuple[Contains, ...] = ()
    order: tuple[SortKey, ...] = ()
    columns: tuple[str, ...] = ()
    """All columns of the table that the statement reads."""
    whole: bool = False
    """Whether it reads whole rows (``*``)."""
