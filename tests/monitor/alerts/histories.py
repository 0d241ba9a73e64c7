"""Recorded figures as a history of scrapes, and the engine run over one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from perflab.monitor.alerts import AlertEngine, Rule, Setting, Transition
from perflab.monitor.alerts.series import Labels, Sample


class Scrape(NamedTuple):
    """What a process told at a time; None if it did not answer."""

    at_ms: int
    samples: tuple[Sample, ...] | None


States = dict[tuple[str, Labels], str]

JOB, INSTANCE = "api", "a:1"
OWN: Labels = (("instance", INSTANCE), ("job", JOB))


def replay(
    rules: Sequence[Rule], setting: Setting, history: Sequence[Scrape]
) -> tuple[list[States], list[Transition]]:
    """The states after the evaluation that follows each scrape, and all transitions."""
    now_ms = 0
    engine = AlertEngine(rules, setting, clock=lambda: now_ms / 1e3)
    states: list[States] = []
    transitions: list[Transition] = []
    for at_ms, samples in history:
        now_ms = at_ms
        engine.enter(JOB, INSTANCE, samples)
        transitions += engine.evaluate()
        states.append({(alert.rule.name, alert.labels): alert.state for alert in engine.alerts})
    return states, transitions
