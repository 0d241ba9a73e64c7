"""Indexes that a workload could use: every shape that its statements ask for, none measured yet.

The rules: columns compared with = come first, then one range or the order that is asked for; what
every call has written out can be the condition of a partial index; what is only fetched can ride
along. Which of the candidates is worth anything is for others to find out (``selection``).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

from perflab.advisor.catalog import Catalog, ColumnFacts, IndexFacts, TableFacts
from perflab.advisor.usage import Fixed, SortKey, TableUse
from perflab.schema.indexes import IndexSpec, Kind

PARTIAL_SHARE = 0.5
"""A condition that holds for more of the rows than this makes no partial index."""
FEW_VALUES = 100
"""A column with more different values makes no condition of the kind column = value."""
_BRIN_CORRELATION, _BRIN_PAGES = 0.9, 64
_INCLUDED, _INCLUDED_BYTES = 3, 64
"""How many columns, and bytes a row, may ride along."""
_HASH_BYTES = 32
"""From this width on a hash, 4 bytes of it, is worth a thought."""
_NO_ORDER = frozenset({"json", "jsonb", "xml", "point", "box", "circle", "line", "path", "polygon"})
_TEXT = frozenset({"text", "character varying"})
_NAME_CHARS = 63 - 9


class Candidate(msgspec.Struct, frozen=True):
    """One index that could be made."""

    table: str
    keys: tuple[str, ...]
    """As the definition spells them."""
    method: str = "btree"
    include: tuple[str, ...] = ()
    where: str = ""
    options: str = ""
    """What stands in WITH (...)."""

    @property
    def kind(self) -> Kind:
        """What the index shows, in the catalogue's words."""
        if self.method in ("gin", "brin", "hash"):
            return cast("Kind", self.method)
        if self.include:
            return "covering"
        if self.where:
            return "partial"
        if any("(" in key for key in self.keys):
            return "expression"
        return "sort" if any(" DESC" in key for key in self.keys) else "btree"

    @property
    def slim(self) -> Candidate:
        """The same without what rides along."""
        return msgspec.structs.replace(self, include=())

    @property
    def on(self) -> str:
        """Everything after ``ON table``."""
        words = [] if self.method == "btree" else [f"USING {self.method}"]
        words.append(f"({', '.join(self.keys)})")
        if self.include:
            words.append(f"INCLUDE ({', '.join(self.include)})")
        if self.options:
            words.append(f"WITH ({self.options})")
        if self.where:
            words.append(f"WHERE {self.where}")
        return " ".join(words)

    @property
    def name(self) -> str:
        """Table and columns; eight digits of the definition where these do not say everything."""
        bare = self.table.rpartition(".")[2]
        words = re.findall(r"[a-z0-9_]+", " ".join((bare, *self.keys)).lower())
        name = "_".join(("idx", *words))[:_NAME_CHARS].rstrip("_")
        plain = self.method == "btree" and not (self.include or self.where)
        if plain and len(name) < _NAME_CHARS and all(key.isidentifier() for key in self.keys):
            return name
        return f"{name}_{hashlib.sha256(f'{self.table} {self.on}'.encode()).hexdigest()[:8]}"

    def spec(self, serves: Sequence[str] = ()) -> IndexSpec:
        """What the index builder builds."""
        return IndexSpec(self.name, self.table, self.kind, self.on, ", ".join(serves), "")


def find_candidates(
    uses: Mapping[str, Sequence[TableUse]], catalog: Catalog, calls: Mapping[str, float]
) -> dict[Candidate, tuple[str, ...]]:
    """Every candidate with the statements (keys of ``uses``) that it is made for.

    What an existing index does already is left out. ``calls`` weighs which columns come first
    where several are compared with =: what most calls name, so that indexes can be shared.
    """
    found: dict[Candidate, list[str]] = {}
    weights = _weights(uses, calls)
    for name in sorted(uses):
        for use in uses[name]:
            facts = catalog.by_name[use.table]
            for candidate in _for_use(use, facts, weights, catalog.extensions):
                if any(_does(index, candidate) for index in facts.indexes):
                    continue
                served = found.setdefault(candidate, [])
                if name not in served:
                    served.append(name)
    return {candidate: tuple(served) for candidate, served in found.items()}


def _weights(
    uses: Mapping[str, Sequence[TableUse]], calls: Mapping[str, float]
) -> dict[tuple[str, str], float]:
    weights: dict[tuple[str, str], float] = {}
    for name in sorted(uses):
        for use in uses[name]:
            for column in dict.fromkeys((*use.equal, *use.joined)):
                key = use.table, column
                weights[key] = weights.get(key, 0.0) + calls.get(name, 1.0)
    return weights


def _for_use(
    use: TableUse,
    facts: TableFacts,
    weights: Mapping[tuple[str, str], float],
    extensions: frozenset[str],
) -> Iterator[Candidate]:
    def by_weight(columns: Sequence[str]) -> tuple[str, ...]:
        known = [c for c in dict.fromkeys(columns) if _orders(facts, c)]
        return tuple(
            sorted(
                known,
                key=lambda c: (-weights.get((use.table, c), 0.0), -facts.by_column[c].distinct, c),
            )
        )

    joins: list[tuple[str, ...]] = [()] + [(column,) for column in use.joined]
    if len(use.joined) > 1:
        joins.append(use.joined)
    conditions = _conditions(use, facts)
    for join in joins:
        equal = by_weight((*use.equal, *join))
        if _found_already(facts, equal):
            continue
        for tail in _tails(use, facts, equal):
            yield from _plain(use, facts, (*equal, *tail))
            for condition in conditions:
                fixed = {one.column for one in condition if one.values}
                rest = tuple(c for c in equal if c not in fixed)
                where = " AND ".join(one.text for one in condition)
                yield from _plain(use, facts, (*rest, *tail) or tuple(sorted(fixed)), where)
    for column in use.either:
        if _orders(facts, column):
            yield Candidate(use.table, (column,))
    if len(use.equal) == 1 and facts.by_column[use.equal[0]].width >= _HASH_BYTES:
        yield Candidate(use.table, use.equal, method="hash")
    if not use.equal:
        yield from _brin(use, facts)
    yield from _gin(use, facts, extensions)


def _found_already(facts: TableFacts, equal: Sequence[str]) -> bool:
    """Whether these columns name one row, which an index that is there finds."""
    return any(
        index.unique and index.valid and not index.where and set(index.keys) <= set(equal)
        for index in facts.indexes
    )


def _tails(use: TableUse, facts: TableFacts, equal: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """What may follow the columns compared with =: nothing, a range, an order, an expression."""
    yield ()
    for column in use.ranges:
        if column not in equal and _orders(facts, column):
            yield (column,)
    order = [key for key in use.order if key.column not in equal]
    if order and all(_orders(facts, key.column) for key in order):
        yield _read_forwards(order)
    for column in use.prefixes:
        if facts.by_column[column].type in _TEXT:
            yield (f"{column} text_pattern_ops",)
    for expression in use.expressions:
        pattern = " text_pattern_ops" if expression.how == "prefix" else ""
        yield (f"{expression.text}{pattern}",)


def _read_forwards(order: Sequence[SortKey]) -> tuple[str, ...]:
    """Keys for an order; where all of it descends, ascending ones, read from their end."""
    if all(key.descending and not key.nulls for key in order):
        return tuple(dict.fromkeys(key.column for key in order))
    return tuple(dict.fromkeys(key.text for key in order))


def _plain(
    use: TableUse, facts: TableFacts, keys: tuple[str, ...], where: str = ""
) -> Iterator[Candidate]:
    """An index over these keys, and one that carries along what else the statement fetches."""
    if not keys:
        return
    yield Candidate(use.table, keys, where=where)
    inside = {re.split(r"[ (]", key)[0] for key in keys}
    rest = tuple(c for c in use.columns if c not in inside)
    bytes_a_row = sum(facts.by_column[c].width for c in rest)
    if rest and not use.whole and len(rest) <= _INCLUDED and bytes_a_row <= _INCLUDED_BYTES:
        yield Candidate(use.table, keys, include=rest, where=where)


def _conditions(use: TableUse, facts: TableFacts) -> tuple[tuple[Fixed, ...], ...]:
    """Conditions of partial indexes: all that hold for few rows together, then each alone."""
    fixed = [one for one in use.fixed if _is_partial(one, facts.by_column[one.column])]
    conditioned = {one.column for one in use.fixed}
    # a comparison is never true of NULL, so the planner can prove the condition
    fixed.extend(
        Fixed(column, f"{column} IS NOT NULL", null=False)
        for column in dict.fromkeys((*use.ranges, *use.equal))
        if column not in conditioned and facts.by_column[column].null_share >= PARTIAL_SHARE
    )
    alone = tuple((one,) for one in fixed)
    return (tuple(fixed), *alone) if len(fixed) > 1 else alone


def _is_partial(fixed: Fixed, column: ColumnFacts) -> bool:
    """Whether a condition holds for few rows and will be asked for again.

    Of a column with many values one that is written out is likely to be another next time.
    """
    if fixed.values and not 0 < column.distinct <= FEW_VALUES:
        return False
    return _share(fixed, column) <= PARTIAL_SHARE


def _share(fixed: Fixed, column: ColumnFacts) -> float:
    """The share of rows for which a condition holds, by the statistics; 1 where they are silent."""
    if fixed.null is not None:
        return column.null_share if fixed.null else 1 - column.null_share
    if fixed.values:
        known = [column.common.get(value) for value in fixed.values]
        if all(share is None for share in known) and column.common and column.distinct:
            # none of the common values: no more than the rest together
            return 1 - sum(column.common.values()) - column.null_share
        return sum(share or 0.0 for share in known) if column.common else 1.0
    if column.type == "boolean":
        return column.common.get("f" if fixed.text.startswith("NOT ") else "t", 1.0)
    return 1.0


def _brin(use: TableUse, facts: TableFacts) -> Iterator[Candidate]:
    """For columns whose values lie in the table in their order: kilobytes for megabytes."""
    if facts.pages < _BRIN_PAGES:
        return
    for column in use.ranges:
        if abs(facts.by_column[column].correlation) >= _BRIN_CORRELATION:
            pages = max(1, min(128, facts.pages // 128))
            yield Candidate(
                use.table,
                (column,),
                method="brin",
                options=f"pages_per_range = {pages}",
            )


def _gin(use: TableUse, facts: TableFacts, extensions: frozenset[str]) -> Iterator[Candidate]:
    for contains in use.contains:
        column = facts.by_column[contains.column]
        operators = {
            "jsonb": " jsonb_path_ops" if contains.operator in ("@>", "@?", "@@") else "",
            "tsvector": "",
        }
        if column.type in operators and contains.operator != "~~":
            key = f"{column.name}{operators[column.type]}"
        elif column.is_array and contains.operator in ("@>", "<@", "&&"):
            key = column.name
        elif contains.operator == "~~" and column.type in _TEXT and "pg_trgm" in extensions:
            key = f"{column.name} gin_trgm_ops"
        else:
            continue
        yield Candidate(use.table, (key,), method="gin")


def _orders(facts: TableFacts, column: str) -> bool:
    return facts.by_column[column].type not in _NO_ORDER


def _does(index: IndexFacts, candidate: Candidate) -> bool:
    """Whether an index that is there does all that the candidate would."""
    return (
        index.valid
        and index.method == candidate.method
        and index.where in ("", candidate.where)
        and index.keys[: len(candidate.keys)] == candidate.keys
        and set(candidate.include) <= {*index.keys, *index.include}
    )
