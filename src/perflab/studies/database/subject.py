"""What the database study is about: the lab's own application, or a workload of the user's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from perflab.datasets import Datasets
from perflab.measure.claims import Claims
from perflab.profiles import Profile
from perflab.progress import Step
from perflab.report.tables import Table
from perflab.services import Services
from perflab.studies.database.arms import Arms


class Bench(Protocol):
    """What a subject takes of the lab; the data is loaded when ``datasets`` is first read."""

    @property
    def services(self) -> Services:
        """The servers."""

    @property
    def datasets(self) -> Datasets:
        """The lab's own data."""

    @property
    def profile(self) -> Profile:
        """How big."""

    def at_close(self, callback: Callable[[], object]) -> None:
        """Call something when the lab closes."""


class Subject(Protocol):
    """Tables of what is measured, and how both arms are made; the rest follows from the arms."""

    def claims(self, given: Claims) -> Claims:
        """The claims that are about this subject."""

    def row_frame(self) -> Table:
        """Where the rows come from."""

    def catalogue_frame(self) -> Table:
        """What *after* has and *before* has not."""

    def make_arms(self, lab: Bench, step: Step) -> Arms:
        """Both databases, loaded and built, and the questions to ask them."""
