"""Alerts that come and go: the states of Prometheus, driven by a clock that is given."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from perflab.monitor.alerts.evaluation import Groups, evaluate
from perflab.monitor.alerts.expressions import metrics_of
from perflab.monitor.alerts.rules import Rule, Setting
from perflab.monitor.alerts.series import LOOKBACK_MS, Labels, Sample, Store, labels_of

State: TypeAlias = Literal["inactive", "pending", "firing"]
UP: Final = "up"
"""1 for a process whose figures could be read, else 0: Prometheus' own."""

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An alert that is pending or firing."""

    rule: Rule
    labels: Labels
    state: State
    since_s: float
    """When its condition began to hold, in the clock's seconds."""
    value: float


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one alert's state."""

    rule: Rule
    labels: Labels
    before: State
    after: State
    at_s: float
    since_s: float
    """When the condition began to hold."""
    value: float
    """The newest that met it."""

    @property
    def resolved(self) -> bool:
        """Whether something that was reported is over."""
        return self.before == "firing"

    def __str__(self) -> str:
        told = ", ".join(f"{name}={value}" for name, value in self.labels)
        state = "resolved" if self.resolved else self.after
        return f"{self.rule.name} {state} ({told}; {self.value:.4g}): {self.rule.hint}"


class AlertEngine:
    """Evaluates rules on what processes tell, as Prometheus would.

    Where a condition holds, an alert is pending; once it has held at every evaluation for the
    rule's ``for_s`` it fires; where it no longer holds, the alert is inactive again, and resolved
    if it had fired. Times are whole milliseconds.

    Args:
        rules: of a file.
        setting: which lengths of time apply.
        clock: seconds, never less than before.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        setting: Setting = "lab",
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.rules = tuple(rules)
        self._setting = setting
        self._clock = clock
        windows = [self._window_ms(rule) for rule in self.rules]
        metrics = {name for rule in self.rules for name in metrics_of(rule.when)}
        self._store = Store(metrics | {UP}, max([*windows, LOOKBACK_MS // 100]))
        self._alerts: dict[tuple[str, Labels], Alert] = {}

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Those that are pending or firing."""
        return tuple(self._alerts.values())

    def enter(self, job: str, instance: str, samples: Sequence[Sample] | None) -> None:
        """What a process told now; None if it told nothing."""
        own = {"job": job, "instance": instance}
        found = [
            Sample(name, labels_of({**dict(labels), **own}), value)
            for name, labels, value in samples or ()
        ]
        found.append(Sample(UP, labels_of(own), 0.0 if samples is None else 1.0))
        self._store.enter(f"{job} {instance}", self._now_ms(), found)

    def evaluate(self) -> tuple[Transition, ...]:
        """Evaluate all rules now; what changed, in the rules' order."""
        now_ms = self._now_ms()
        changes: list[Transition] = []
        for rule in self.rules:
            holds = _COMPARE[rule.comparison]
            groups = {
                labels: value
                for labels, value in self._values(rule, now_ms).items()
                if holds(value, rule.threshold)
            }
            changes += self._step(rule, groups, now_ms)
        return tuple(changes)

    def _values(self, rule: Rule, now_ms: int) -> Groups:
        window_ms = self._window_ms(rule)
        return evaluate(rule.when, rule.comparison, self._store, now_ms, window_ms)

    def _step(self, rule: Rule, groups: Groups, now_ms: int) -> list[Transition]:
        """Move the alerts of one rule on."""
        changes = []
        hold_ms = _ms(getattr(rule.for_s, self._setting))
        known = [labels for name, labels in self._alerts if name == rule.name]
        for labels in dict.fromkeys((*known, *groups)):
            old = self._alerts.get((rule.name, labels))
            state: State = "inactive" if old is None else old.state
            if labels not in groups:
                if old is not None:
                    del self._alerts[rule.name, labels]
                    changes.append(_change(old, state, "inactive", now_ms))
                continue
            since_s = now_ms / 1e3 if old is None else old.since_s
            held = now_ms - _ms(since_s) >= hold_ms
            new: State = "firing" if held or state == "firing" else "pending"
            alert = Alert(
                rule=rule, labels=labels, state=new, since_s=since_s, value=groups[labels]
            )
            self._alerts[rule.name, labels] = alert
            if new != state:
                changes.append(_change(alert, state, new, now_ms))
        return changes

    def _window_ms(self, rule: Rule) -> int:
        return 0 if rule.window is None else _ms(getattr(rule.window, self._setting))

    def _now_ms(self) -> int:
        return _ms(self._clock())


def _change(alert: Alert, before: State, after: State, now_ms: int) -> Transition:
    return Transition(
        rule=alert.rule,
        labels=alert.labels,
        before=before,
        after=after,
        at_s=now_ms / 1e3,
        since_s=alert.since_s,
        value=alert.value,
    )


def _ms(seconds: float) -> int:
    return round(seconds * 1e3)
