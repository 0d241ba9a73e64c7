"""Which subject a run's parameters ask for."""

from __future__ import annotations

from pathlib import Path

from perflab.parameters import DatabaseParameters
from perflab.profiles import Profile
from perflab.studies.database.application import Application
from perflab.studies.database.brought import Brought
from perflab.studies.database.subject import Subject
from perflab.workload import load_workload


def choose_subject(parameters: DatabaseParameters, profile: Profile) -> Subject:
    """The user's workload where one is named, else the lab's own application."""
    if parameters.workload:
        return Brought(load_workload(Path(parameters.workload)), parameters)
    return Application(parameters, profile)
