"""Targets of contests: what each was meant to show, and whether it did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from perflab.measure.claims import Claim
from perflab.report.tables import Table
from perflab.studies import targets
from perflab.studies.peers.contest import Contest
from perflab.studies.targets import Judged, judged

NOTEBOOK: Final = "08_peers"


def target(name: str, wording: str, direction: str, value: float, unit: str) -> Claim:
    """A promise of our own; ``direction`` is a key of ``DIRECTIONS``."""
    return targets.target(NOTEBOOK, name, wording, direction, value, unit)


def judged_lead(promise: Claim, contest: Contest) -> Judged:
    """``judged`` for how many times faster ours is."""
    return judged(promise, contest.times_faster, contest.aa)


def verdict_table(results: Sequence[Judged], title: str) -> Table:
    """Every target with its verdict."""
    return targets.target_table(results, title, ", or ours measured twice differs (A/A)")
