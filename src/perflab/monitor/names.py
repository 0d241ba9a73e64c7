"""Names, labels and units by Prometheus' convention."""

from __future__ import annotations

import math
import re
from typing import Final

from perflab.monitor.errors import MonitorError

_METRIC: Final = re.compile(r"[a-z][a-z0-9_]*")
_LABEL: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_TAKEN: Final = frozenset({"le", "quantile"})
"""Labels with a meaning of their own in Prometheus."""
_UNITS: Final = (("_ms", "_seconds", 1e-3), ("_us", "_seconds", 1e-6), ("_s", "_seconds", 1.0))
"""The package's suffixes of durations, and the base unit that Prometheus wants."""


def check_metric(name: str) -> str:
    """The name, if a metric's may begin with it, else a MonitorError."""
    if not _METRIC.fullmatch(name) or name.endswith("_") or "__" in name:
        raise MonitorError(
            f"{name!r} is no name of a metric; use lower-case letters, digits and underscores"
        )
    return name


def check_label(name: str) -> str:
    """The name, if a label can have it, else a MonitorError."""
    if not _LABEL.fullmatch(name) or name in _TAKEN:
        raise MonitorError(f"{name!r} cannot be a label")
    return name


def label_value(value: object) -> str:
    """As text that UTF-8 can carry."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def in_base_unit(field: str) -> tuple[str, float]:
    """A field's name with Prometheus' base unit, and what its values are multiplied by."""
    for suffix, unit, scale in _UNITS:
        if field.endswith(suffix):
            return field.removesuffix(suffix) + unit, scale
    return field, 1.0


def joined(*parts: str) -> str:
    """A name out of its parts; empty ones are left out."""
    return "_".join(part for part in parts if part)


def plain(name: str) -> str:
    """What a field without documentation is called."""
    return f"{name.replace('_', ' ').capitalize()}."


def bound_label(value: float) -> str:
    """As Prometheus writes it."""
    return "+Inf" if value == math.inf else str(float(value))
