"""Scenarios: loads described in files, of users who go through flows of requests."""

from perflab.load.scenarios.figures import ERROR_KINDS, VERDICTS, Figures, Second, Times
from perflab.load.scenarios.outcome import Progress, Run, part
from perflab.load.scenarios.run import run_scenario
from perflab.load.scenarios.scenario import Scenario, load_scenario
from perflab.load.scenarios.schedule import Schedule, schedule_of
from perflab.load.scenarios.summary import RunSummary, Summary, summarise

__all__ = [
    "ERROR_KINDS",
    "VERDICTS",
    "Figures",
    "Progress",
    "Run",
    "RunSummary",
    "Scenario",
    "Schedule",
    "Second",
    "Summary",
    "Times",
    "load_scenario",
    "part",
    "run_scenario",
    "schedule_of",
    "summarise",
]
