"""Which rows of a target are copied: all of a table, or a sample that goes with its parents.

Small tables come whole. Large ones share what is left of the limit, each with the same share of
its rows. Where a large table has a foreign key, the sample is one of its parents, and a row comes
if its parent does: so a parent in it has all of its children, and a join finds as many rows as it
does on the target. Parents that rows name and the sample has not are fetched (``transfer``); of
these the copy may have a few children only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from perflab.advisor.copying.shape import Key, Table

_LEAST_PARENTS = 100
"""With fewer parents in its sample a table is sampled by itself."""
_LEAST_PAGES = 50
"""From so many pages of a sample on, whole pages are taken: all others are never read."""


class Part(msgspec.Struct, frozen=True):
    """What is copied of one table."""

    table: Table
    share: float = 1.0
    """Of its rows, about; 1 is all of them."""
    follows: Key | None = None
    """The foreign key whose parents decide which rows come."""

    @property
    def is_whole(self) -> bool:
        """Whether every row comes."""
        return self.share >= 1


def plan_parts(tables: Sequence[Table], limit_bytes: int) -> tuple[Part, ...]:
    """What to copy of each table so that all of it is about ``limit_bytes`` at most."""
    left, whole, large = limit_bytes, [], sorted(tables, key=lambda t: t.size_bytes)
    while large and large[0].size_bytes <= left / len(large):
        whole.append(large.pop(0))
        left -= whole[-1].size_bytes
    share = left / total if (total := sum(t.size_bytes for t in large)) else 1.0
    parts = {t.name: Part(t) for t in whole} | {t.name: Part(t, share) for t in large}
    followed: dict[str, str] = {}
    for table in large:
        for key in sorted(table.parents, key=lambda k: -_rows(parts, k.parent)):
            loops = table.name in _ancestors(key.parent, followed)
            if not loops and _rows(parts, key.parent) * share >= _LEAST_PARENTS:
                followed[table.name] = key.parent
                parts[table.name] = Part(table, share, key)
                break
    return tuple(parts[table.name] for table in tables)


def _rows(parts: Mapping[str, Part], name: str) -> float:
    return parts[name].table.rows


def _ancestors(name: str, followed: Mapping[str, str]) -> set[str]:
    found = {name}
    while (parent := followed.get(name)) and parent not in found:
        found.add(name := parent)
    return found


def rows_from(part: Part, parts: Mapping[str, Part], seed: int) -> str:
    """``FROM ...`` of the rows to be copied, the table under the name ``r``; the same each time."""
    table = part.table.name
    if part.is_whole:
        return f"FROM {table} AS r"
    if part.follows is None:
        return f"FROM {table} AS r {_tablesample(part.table, part.share, seed)}"
    parent = parts[part.follows.parent]
    if parent.is_whole:  # all of it comes, and a sample of it decides
        inner = f"FROM {parent.table.name} AS r {_tablesample(parent.table, part.share, seed)}"
    else:
        inner = rows_from(parent, parts, seed)
    mine = ", ".join(f"r.{name}" for name in part.follows.columns)
    keys = ", ".join(f"r.{name}" for name in part.follows.parent_columns)
    return f"FROM {table} AS r WHERE ({mine}) IN (SELECT {keys} {inner})"


def _tablesample(table: Table, share: float, seed: int) -> str:
    method = "SYSTEM" if table.pages * share >= _LEAST_PAGES else "BERNOULLI"
    return f"TABLESAMPLE {method} ({100 * share:.9f}) REPEATABLE ({seed})"
