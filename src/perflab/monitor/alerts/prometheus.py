"""The rules as a rules file of Prometheus."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from perflab.monitor.alerts.expressions import Expression, Quantile, Rate, Ratio, Selector, Value
from perflab.monitor.alerts.rules import Rule, Setting


def as_prometheus(rules: Sequence[Rule], setting: Setting, *, group: str = "perflab") -> str:
    """YAML for ``rule_files`` of a Prometheus, with the same conditions and states."""
    lines = ["groups:", f"  - name: {_quoted(group)}", "    rules:"]
    for rule in rules:
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {_quoted(expression_of(rule, setting))}",
            f"        for: {_duration(getattr(rule.for_s, setting))}",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          hint: {_quoted(rule.hint)}",
        ]
    return "\n".join(lines) + "\n"


def expression_of(rule: Rule, setting: Setting) -> str:
    """A rule's condition in PromQL."""
    window = "" if rule.window is None else _duration(getattr(rule.window, setting))
    value = _value(rule.when, rule.comparison, window)
    return f"{value} {rule.comparison} {rule.threshold!r}"


def _value(when: Expression, comparison: str, window: str) -> str:
    by = f"by ({', '.join(when.by)})"
    match when:
        case Value():
            worst = "max" if comparison.startswith(">") else "min"
            return f"{worst} {by} ({_selector(when.metric, when)})"
        case Rate():
            return _rates(when, when.metric, by, window)
        case Ratio():
            below = _rates(when.of, when.of.metric, by, window)
            return f"({_rates(when, when.metric, by, window)} / {below})"
        case Quantile():
            with_bounds = f"by ({', '.join((*when.by, 'le'))})"
            rates = _rates(when, f"{when.metric}_bucket", with_bounds, window)
            return f"histogram_quantile({when.quantile!r}, {rates})"


def _rates(selector: Selector, metric: str, by: str, window: str) -> str:
    return f"sum {by} (rate({_selector(metric, selector)}[{window}]))"


def _selector(metric: str, selector: Selector) -> str:
    told = [*_matchers(selector.labels, "="), *_matchers(selector.matching, "=~")]
    return f"{metric}{{{', '.join(told)}}}" if told else metric


def _matchers(labels: Mapping[str, str], operator: str) -> list[str]:
    return [f"{name}{operator}{_quoted(value)}" for name, value in sorted(labels.items())]


def _duration(seconds: float) -> str:
    whole_ms = round(seconds * 1e3)
    return f"{whole_ms // 1000}s" if whole_ms % 1000 == 0 else f"{whole_ms}ms"


def _quoted(text: str) -> str:
    """As a string in double quotes, which JSON, YAML and PromQL read alike."""
    return json.dumps(text, ensure_ascii=False)
