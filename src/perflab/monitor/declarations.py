"""What a field of a snapshot is to Prometheus: declared field by field, never guessed.

A ``Shape`` declares every field of a Struct. A field that it leaves out, or one that the Struct
does not have, is an error when the snapshot is registered, so that shapes and Structs cannot
drift apart unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A number that only grows while the process lives; its metric ends in ``_total``."""

    name: str | None = None
    """In place of the field's, with its unit and without ``_total``."""
    scale: float = 1.0
    """What a value is multiplied by; only with a ``name``."""
    help: str | None = None
    """In place of the field's documentation."""


class Gauge(msgspec.Struct, frozen=True, kw_only=True):
    """A number that goes up and down. True is 1; None gives no sample."""

    name: str | None = None
    """As in ``Counter``."""
    scale: float = 1.0
    """As in ``Counter``."""
    help: str | None = None
    """As in ``Counter``."""


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """A ``Buckets``; its metric is a histogram. None gives no samples."""

    name: str | None = None
    """In place of the field's, with its unit."""
    help: str | None = None
    """As in ``Counter``."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A Struct within the Struct; None gives no samples."""

    shape: Mapping[str, Declaration]
    prefix: str | None = None
    """Of the names in it; by default the field's name. Empty where ``labels`` tell it apart."""
    labels: Mapping[str, str] = {}


class Each(msgspec.Struct, frozen=True, kw_only=True):
    """A sequence of Structs, told apart by a label."""

    shape: Mapping[str, Declaration]
    label: str
    by: str
    """The field of each that holds the label's value; the shape does not declare it."""
    prefix: str = ""


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    """A dict of Structs, or of numbers, told apart by a label that holds the key."""

    of: Mapping[str, Declaration] | Counter | Gauge | Distribution
    label: str
    prefix: str = ""
    """Of the names in a Struct."""


class LeftOut(msgspec.Struct, frozen=True):
    """A field that is no metric."""

    why: str


Declaration: TypeAlias = Counter | Gauge | Distribution | Part | Each | Keyed | LeftOut
Shape: TypeAlias = Mapping[str, Declaration]


def counters(*names: str) -> dict[str, Declaration]:
    """Fields that only grow."""
    return {name: Counter() for name in names}


def gauges(*names: str) -> dict[str, Declaration]:
    """Fields that go up and down."""
    return {name: Gauge() for name in names}


def distributions(*names: str) -> dict[str, Declaration]:
    """Fields that hold ``Buckets``."""
    return {name: Distribution() for name in names}
