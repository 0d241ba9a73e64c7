"""Points of closed loads out of a CSV file: of any load test that says users and throughput."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from perflab.capacity.errors import CapacityError


@dataclass(frozen=True)
class Points:
    """What ``scalability.fit`` takes: repetitions are points of their own."""

    users: tuple[float, ...]
    throughput: tuple[float, ...]
    """Answers a second of each."""


def load_points(path: Path, *, users: str = "users", throughput: str = "throughput") -> Points:
    """Read two columns of a CSV file with a header; others are left alone.

    Args:
        path: the file, UTF-8.
        users: the column of concurrencies, at least 1 each.
        throughput: the column of answers a second.

    A CapacityError names file, line and column of what cannot be used.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            header = rows.fieldnames or ()
            for column in (users, throughput):
                if column not in header:
                    there = ", ".join(header) or "none"
                    raise CapacityError(f"{path.name}: no column {column!r}; there are: {there}")
            found = [
                (
                    _number(path, rows.line_num, users, row[users], least=1.0),
                    _number(path, rows.line_num, throughput, row[throughput]),
                )
                for row in rows
            ]
    except OSError as error:
        raise CapacityError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise CapacityError(f"{path.name}: not a CSV file in UTF-8: {error}") from None
    if not found:
        raise CapacityError(f"{path.name}: a header and no points")
    return Points(tuple(n for n, _ in found), tuple(x for _, x in found))


def _number(path: Path, line: int, column: str, text: str | None, least: float = 0.0) -> float:
    where = f"{path.name}, line {line}, {column}"
    try:
        value = float(text or "")
    except ValueError:
        raise CapacityError(f"{where}: {text or ''!r} is no number") from None
    if not math.isfinite(value) or value < least or value == 0:
        wanted = f"from {least:g} on" if least else "above 0"
        raise CapacityError(f"{where}: {text} must be a finite number {wanted}")
    return value
