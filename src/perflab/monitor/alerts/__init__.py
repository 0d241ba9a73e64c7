"""Alerts: typed rules out of a file, evaluated live as Prometheus would, and told to Prometheus."""

from __future__ import annotations

from perflab.monitor.alerts.engine import Alert, AlertEngine, State, Transition
from perflab.monitor.alerts.prometheus import as_prometheus
from perflab.monitor.alerts.rules import Rule, Setting, load_rules
from perflab.monitor.alerts.scraping import Target
from perflab.monitor.alerts.watch import Watch
from perflab.monitor.alerts.webhook import Webhook

__all__ = [
    "Alert",
    "AlertEngine",
    "Rule",
    "Setting",
    "State",
    "Target",
    "Transition",
    "Watch",
    "Webhook",
    "as_prometheus",
    "load_rules",
]
