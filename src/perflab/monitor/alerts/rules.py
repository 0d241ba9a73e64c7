"""The rules of an alerts file, checked: ``data/alerts.toml`` or a user's own."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, TypeAlias

import msgspec

from perflab.config import convert_at, error_at, load_toml
from perflab.errors import ConfigError
from perflab.monitor.alerts.expressions import (
    Comparison,
    Expression,
    Quantile,
    Rate,
    Ratio,
    Seconds,
    Selector,
    Value,
)

Setting: TypeAlias = Literal["lab", "production"]
"""Which of a rule's two lengths of time are used."""
Severity: TypeAlias = Literal["info", "warning", "critical"]

_NAME: Final = re.compile(r"[A-Z][A-Za-z0-9]*")
_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_NOT_RE2: Final = re.compile(r"\(\?(?![:is])|\\[1-9]")
"""What Python's expressions have and those of Prometheus do not."""
_COUNTED: Final = ("_total", "_count", "_sum")
_LONGEST_S: Final = 30 * 86_400.0


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One alert."""

    name: str
    when: Expression
    comparison: Comparison
    threshold: float
    for_s: Seconds
    """How long it must hold before the alert fires."""
    severity: Severity
    hint: str
    """What it means and what to do, in one line."""

    @property
    def window(self) -> Seconds | None:
        """How far back it looks; None for the newest value."""
        return None if isinstance(self.when, Value) else self.when.window_s


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    title: str
    alert: tuple[dict[str, Any], ...]


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a file, in its order.

    Raises:
        ConfigError: names the file, the line, the rule, the key and the reason.
    """
    tables = load_toml(path, _File).alert
    if not tables:
        raise error_at(path, ["alert"], "there is no rule; write one as [[alert]]")
    rules: dict[str, Rule] = {}
    for number, table in enumerate(tables):
        try:
            rule = convert_at(path, ["alert", number], table, Rule)
            _Check(path, number, rule).all()
            if rule.name in rules:
                raise error_at(path, ["alert", number, "name"], "there are two of that name")
        except ConfigError as error:
            named = table.get("name", f"number {number + 1}")
            raise ConfigError(f"{error} (rule {named!r})") from None
        rules[rule.name] = rule
    return tuple(rules.values())


class _Check:
    def __init__(self, path: Path, number: int, rule: Rule) -> None:
        self._path = path
        self._number = number
        self._rule = rule

    def all(self) -> None:
        rule = self._rule
        if not _NAME.fullmatch(rule.name):
            self._refuse("write a name such as CacheUnavailable", "name")
        if not math.isfinite(rule.threshold):
            self._refuse("must be a finite number", "threshold")
        if not rule.hint.strip() or "\n" in rule.hint:
            self._refuse("say in one line what it means and what to do", "hint")
        if "{{" in rule.hint:
            self._refuse("Prometheus would take {{ for a template", "hint")
        self._seconds(rule.for_s, 0.0, "for_s")
        if rule.window is not None:
            self._seconds(rule.window, 0.001, "when", "window_s")
        self._selector(rule.when, "when")
        for label in rule.when.by:
            self._label(label, "when", "by")
        self._kind(rule.when)

    def _kind(self, when: Expression) -> None:
        match when:
            case Ratio():
                self._selector(when.of, "when", "of")
                self._counter(when.metric, "when", "metric")
                self._counter(when.of.metric, "when", "of", "metric")
            case Rate():
                self._counter(when.metric, "when", "metric")
            case Quantile():
                if not 0 < when.quantile < 1:
                    self._refuse("must lie between 0 and 1, as 0.95 does", "when", "quantile")
                if when.metric.endswith(("_bucket", *_COUNTED)):
                    why = f"name the histogram itself, without the ending of {when.metric!r}"
                    self._refuse(why, "when", "metric")
            case Value():
                pass

    def _counter(self, metric: str, *keys: str) -> None:
        if not metric.endswith(_COUNTED):
            self._refuse(f"{metric!r} is no counter, whose name ends in _total", *keys)

    def _selector(self, selector: Selector, *keys: str) -> None:
        if not _METRIC.fullmatch(selector.metric):
            self._refuse(f"{selector.metric!r} is no name of a metric", *keys, "metric")
        for label in selector.labels:
            self._label(label, *keys, "labels")
        for label, pattern in selector.matching.items():
            self._label(label, *keys, "matching")
            if label in selector.labels:
                self._refuse(f"{label!r} is in labels already", *keys, "matching")
            try:
                re.compile(pattern)
            except re.error as error:
                self._refuse(f"{pattern!r} is no regular expression: {error}", *keys, "matching")
            if _NOT_RE2.search(pattern):
                why = f"{pattern!r}: Prometheus has neither lookaround nor back-references"
                self._refuse(why, *keys, "matching")

    def _label(self, label: str, *keys: str) -> None:
        if not _LABEL.fullmatch(label):
            self._refuse(f"{label!r} is no name of a label", *keys)
        if label == "le":
            self._refuse("'le' belongs to a histogram's buckets", *keys)

    def _seconds(self, seconds: Seconds, least: float, *keys: str) -> None:
        for key, value in (("lab", seconds.lab), ("production", seconds.production)):
            if not least <= value <= _LONGEST_S:
                self._refuse(f"{key} must be from {least:g} to {_LONGEST_S:.0f}", *keys)
            if abs(value * 1e3 - round(value * 1e3)) > 1e-6:
                self._refuse(f"{key}: Prometheus counts whole milliseconds", *keys)

    def _refuse(self, reason: str, *keys: str) -> NoReturn:
        raise error_at(self._path, ["alert", self._number, *keys], reason)
