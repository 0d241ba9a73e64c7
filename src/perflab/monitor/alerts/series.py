"""The recent past of scraped series, kept as Prometheus keeps it: with marks where one ends."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from perflab.monitor.alerts.expressions import Selector

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Sorted by name."""
LOOKBACK_MS: Final = 300_000
"""How old a newest value may be; Prometheus' own default."""
_STALE: Final = None


class Sample(NamedTuple):
    """One figure of a scrape."""

    metric: str
    labels: Labels
    value: float


class Point(NamedTuple):
    """A value and its time."""

    at_ms: int
    value: float


class Store:
    """Series by metric and labels.

    Args:
        metrics: the only ones that are kept.
        keep_ms: how long; the newest of each stays whatever its age, until its series has ended.
    """

    def __init__(self, metrics: Iterable[str], keep_ms: int) -> None:
        self._metrics = frozenset(metrics)
        self._keep_ms = keep_ms
        self._series: dict[str, dict[Labels, deque[tuple[int, float | None]]]] = {}
        self._told: dict[str, set[tuple[str, Labels]]] = {}

    def enter(self, source: str, at_ms: int, samples: Sequence[Sample]) -> None:
        """What a scrape of ``source`` found; what it told before and no longer does has ended."""
        told = set()
        for metric, labels, value in samples:
            if metric in self._metrics:
                told.add((metric, labels))
                self._add(metric, labels, at_ms, value)
        for metric, labels in self._told.get(source, set()) - told:
            self._add(metric, labels, at_ms, _STALE)
        self._told[source] = told
        for series in self._series.values():
            for labels in [one for one, points in series.items() if self._is_over(points, at_ms)]:
                del series[labels]

    def __len__(self) -> int:
        """How many series there are."""
        return sum(len(series) for series in self._series.values())

    def newest(self, selector: Selector, at_ms: int) -> Iterator[tuple[Labels, float]]:
        """The last value of each series, unless it has ended or is too old."""
        for labels, points in self._matching(selector):
            for at, value in reversed(points):
                if at <= at_ms:
                    if value is not _STALE and at >= at_ms - LOOKBACK_MS:
                        yield labels, value
                    break

    def within(
        self, selector: Selector, at_ms: int, window_ms: int
    ) -> Iterator[tuple[Labels, list[Point]]]:
        """The values of each series in a window, both of its ends included (Prometheus 2)."""
        for labels, points in self._matching(selector):
            found = [
                Point(at, value)
                for at, value in points
                if value is not _STALE and at_ms - window_ms <= at <= at_ms
            ]
            if found:
                yield labels, found

    def _add(self, metric: str, labels: Labels, at_ms: int, value: float | None) -> None:
        points = self._series.setdefault(metric, {}).setdefault(labels, deque())
        points.append((at_ms, value))
        while len(points) > 1 and points[0][0] < at_ms - self._keep_ms:
            points.popleft()

    def _is_over(self, points: deque[tuple[int, float | None]], at_ms: int) -> bool:
        """Whether a series has ended, and too long ago for any window."""
        ended_ms, value = points[-1]
        return value is _STALE and ended_ms < at_ms - self._keep_ms

    def _matching(
        self, selector: Selector
    ) -> Iterator[tuple[Labels, deque[tuple[int, float | None]]]]:
        for labels, points in self._series.get(selector.metric, {}).items():
            if _matches(dict(labels), selector):
                yield labels, points


def labels_of(labels: Mapping[str, str]) -> Labels:
    """In the form in which series are told apart; an empty value is none."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _matches(labels: Mapping[str, str], selector: Selector) -> bool:
    return all(labels.get(name, "") == value for name, value in selector.labels.items()) and all(
        re.fullmatch(pattern, labels.get(name, "")) for name, pattern in selector.matching.items()
    )
