"""How the snapshots of one kind become samples, worked out once when they are registered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from perflab.histogram import Buckets
from perflab.monitor.declarations import (
    Counter,
    Distribution,
    Each,
    Gauge,
    Keyed,
    LeftOut,
    Part,
    Shape,
)
from perflab.monitor.documentation import field_docs
from perflab.monitor.errors import MonitorError
from perflab.monitor.kinds import check_buckets, is_number, item_of, struct_of
from perflab.monitor.names import (
    bound_label,
    check_label,
    check_metric,
    in_base_unit,
    joined,
    label_value,
    plain,
)

Labels: TypeAlias = tuple[tuple[str, str], ...]
Sample: TypeAlias = tuple[str, str, Labels, float]
"""Family, what follows it in the sample's name, labels, value."""
Extract: TypeAlias = Callable[[Any, Labels], Iterator[Sample]]

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

_SUFFIXES: Final = ("_total", "_count", "_sum", "_bucket", "_created", "_info")
"""What a name may not end in, since it would be taken for a part of another kind of metric."""
_BASE_UNITS: Final = ("seconds", "bytes")


class Family(msgspec.Struct, frozen=True):
    """A metric, with the names of its labels; ``name`` is without ``_total``."""

    name: str
    kind: Kind
    help: str
    unit: str
    labels: tuple[str, ...]
    """Sorted."""


class Plan(msgspec.Struct, frozen=True):
    """What the snapshots of one type give."""

    type: type[msgspec.Struct]
    families: dict[str, Family]
    extract: Extract

    def samples(self, snapshot: object) -> list[Sample]:
        """All of them. Raises what is wrong with the snapshot."""
        if type(snapshot) is not self.type:
            raise TypeError(f"stats() gave {type(snapshot).__name__}, not {self.type.__name__}")
        found = list(self.extract(snapshot, ()))
        told = {(name, suffix, tuple(sorted(labels))) for name, suffix, labels, _ in found}
        if len(told) < len(found):
            raise ValueError(f"two parts of {self.type.__name__} have the same labels")
        return found


def make_plan(struct: type[msgspec.Struct], shape: Shape, prefix: str, labels: Labels) -> Plan:
    """The plan for snapshots of type ``struct``.

    Args:
        struct: what ``stats()`` returns.
        shape: declares each of its fields.
        prefix: what all names begin with.
        labels: what every sample bears.
    """
    for name, _ in labels:
        check_label(name)
    planner = _Planner()
    extract = planner.struct(struct, shape, prefix, tuple(name for name, _ in labels), labels)
    return Plan(struct, planner.families, extract)


class _Planner:
    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def struct(
        self,
        struct: type[msgspec.Struct],
        shape: Shape,
        prefix: str,
        names: tuple[str, ...],
        fixed: Labels = (),
        but: str | None = None,
    ) -> Extract:
        """How a Struct gives samples; ``names`` are the labels it has by then."""
        try:
            fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
        except NameError as error:
            raise MonitorError(f"the types of {struct.__name__} cannot be read: {error}") from None
        if but is not None and but not in fields:
            raise MonitorError(f"{struct.__name__} has no field {but!r} to label it by")
        declared = {*shape, but} - {None}
        if missing := ", ".join(sorted(set(fields) - declared)):
            raise MonitorError(f"{struct.__name__}: not declared as counter or gauge: {missing}")
        if unknown := ", ".join(sorted(str(name) for name in declared - set(fields))):
            raise MonitorError(f"{struct.__name__} has no field {unknown}; remove its declaration")
        docs = field_docs(struct)
        parts: list[tuple[str, Extract]] = []
        for name, declaration in shape.items():
            where = f"{struct.__name__}.{name}"
            kind = fields[name]
            match declaration:
                case Counter() | Gauge():
                    if not is_number(kind):
                        raise MonitorError(f"{where} is no number and cannot be a metric")
                    text = docs.get(name, plain(name))
                    parts.append((name, self.number(declaration, prefix, name, names, text)))
                case Distribution():
                    check_buckets(kind, where)
                    text = docs.get(name, plain(name))
                    parts.append((name, self.buckets(declaration, prefix, name, names, text)))
                case Part():
                    inner = struct_of(kind, where)
                    under = joined(
                        prefix, name if declaration.prefix is None else declaration.prefix
                    )
                    own = tuple(sorted(declaration.labels.items()))
                    all_names = _added(names, [key for key, _ in own], where)
                    extract = self.struct(inner, declaration.shape, under, all_names, own)
                    parts.append((name, _optional(extract)))
                case Each():
                    inner = struct_of(item_of(kind, (tuple, list), where), where)
                    all_names = _added(names, [declaration.label], where)
                    under = joined(prefix, declaration.prefix)
                    extract = self.struct(
                        inner, declaration.shape, under, all_names, but=declaration.by
                    )
                    parts.append((name, _each(extract, declaration.label, declaration.by)))
                case Keyed():
                    all_names = _added(names, [declaration.label], where)
                    extract = self.keyed(declaration, kind, where, prefix, all_names, docs)
                    parts.append((name, _keyed(extract, declaration.label)))
                case LeftOut():
                    pass
        return _all(parts, fixed)

    def keyed(
        self,
        declaration: Keyed,
        kind: Any,
        where: str,
        prefix: str,
        names: tuple[str, ...],
        docs: Mapping[str, str],
    ) -> Extract:
        """How one value of a dict gives samples."""
        name = where.rpartition(".")[2]
        item = item_of(kind, (dict, Mapping), where)
        if isinstance(declaration.of, Counter | Gauge):
            if not is_number(item):
                raise MonitorError(f"{where} holds no numbers and cannot be a metric")
            text = docs.get(name, plain(name))
            return self.number(declaration.of, prefix, name, names, text)
        if isinstance(declaration.of, Distribution):
            check_buckets(item, where)
            text = docs.get(name, plain(name))
            return self.buckets(declaration.of, prefix, name, names, text)
        under = joined(prefix, declaration.prefix)
        return self.struct(struct_of(item, where), declaration.of, under, names)

    def number(
        self,
        declaration: Counter | Gauge,
        prefix: str,
        field: str,
        names: tuple[str, ...],
        text: str,
    ) -> Extract:
        """How a number gives a sample; enters its family."""
        if declaration.name is None and declaration.scale != 1:
            raise MonitorError(f"{field}: a scale needs a name that tells the unit")
        name, scale = declaration.name, declaration.scale
        if name is None:
            name, scale = in_base_unit(field)
        is_counter = isinstance(declaration, Counter)
        full = joined(prefix, name.removesuffix("_total") if is_counter else name)
        self.enter(full, "counter" if is_counter else "gauge", declaration.help or text, names)
        read, suffix = (_count, "_total") if is_counter else (_level, "")

        def extract(value: Any, labels: Labels) -> Iterator[Sample]:
            if value is not None:
                yield full, suffix, labels, read(value, full) * scale

        return extract

    def buckets(
        self,
        declaration: Distribution,
        prefix: str,
        field: str,
        names: tuple[str, ...],
        text: str,
    ) -> Extract:
        """How a histogram gives samples; enters its family."""
        full = joined(prefix, declaration.name or in_base_unit(field)[0])
        self.enter(full, "histogram", declaration.help or text, names)

        def extract(value: Any, labels: Labels) -> Iterator[Sample]:
            if value is None:
                return
            if type(value) is not Buckets:
                raise TypeError(f"{full} is {value!r}, no histogram")
            below = 0
            for bound, count in zip((*value.bounds, math.inf), value.counts, strict=True):
                below += count
                yield full, "_bucket", (*labels, ("le", bound_label(bound))), float(below)
            yield full, "_count", labels, float(below)
            yield full, "_sum", labels, _count(value.sum, full)

        return extract

    def enter(self, full: str, kind: Kind, text: str, names: tuple[str, ...]) -> None:
        """Note a family; a MonitorError if its name is none or contradicts what is known of it."""
        if check_metric(full).endswith(_SUFFIXES):
            raise MonitorError(f"a metric's name cannot end as in {full!r}; declare another name")
        unit = next((unit for unit in _BASE_UNITS if full.endswith(f"_{unit}")), "")
        family = Family(full, kind, text, unit, tuple(sorted(names)))
        check_same(self.families.setdefault(full, family), family)


def check_same(one: Family, other: Family) -> None:
    """A MonitorError if two sources of one family would contradict each other."""
    if one.kind != other.kind:
        raise MonitorError(f"{one.name} is declared as {one.kind} and as {other.kind}")
    if one.labels != other.labels:
        both = " and ".join(f"({', '.join(family.labels)})" for family in (one, other))
        raise MonitorError(f"{one.name} would have different labels: {both}")


def _all(parts: Sequence[tuple[str, Extract]], fixed: Labels) -> Extract:
    def extract(struct: Any, labels: Labels) -> Iterator[Sample]:
        for name, part in parts:
            yield from part(getattr(struct, name), labels + fixed)

    return extract


def _optional(part: Extract) -> Extract:
    def extract(value: Any, labels: Labels) -> Iterator[Sample]:
        if value is not None:
            yield from part(value, labels)

    return extract


def _each(part: Extract, label: str, by: str) -> Extract:
    def extract(values: Any, labels: Labels) -> Iterator[Sample]:
        for value in values:
            yield from part(value, (*labels, (label, label_value(getattr(value, by)))))

    return extract


def _keyed(part: Extract, label: str) -> Extract:
    def extract(values: Any, labels: Labels) -> Iterator[Sample]:
        for key, value in values.items():
            yield from part(value, (*labels, (label, label_value(key))))

    return extract


def _level(value: Any, name: str) -> float:
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}, no number")
    return float(value)


def _count(value: Any, name: str) -> float:
    found = _level(value, name)
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"{name} is {value!r}: a counter starts at 0 and grows")
    return found


def _added(names: tuple[str, ...], more: Sequence[str], where: str) -> tuple[str, ...]:
    for name in more:
        if check_label(name) in names:
            raise MonitorError(f"{where} bears the label {name!r} twice")
    return (*names, *more)
