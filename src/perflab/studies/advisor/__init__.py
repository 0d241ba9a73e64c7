"""The advisor study: what 02_index_advisor measures, in the order in which it shows it."""

from perflab.studies.advisor.case import advise_case, make_case
from perflab.studies.advisor.maintenance import look_after_case, look_after_parcels
from perflab.studies.advisor.proving import (
    against_catalogue,
    prove_case,
    results_of,
    returns_of_catalogue,
)
from perflab.studies.advisor.slow import build_and_watch, find_slow
from perflab.studies.advisor.strangers import meet_strangers
from perflab.studies.advisor.views.advice import (
    dropped_table,
    estimate_table,
    idle_table,
    proof_table,
    rejected_table,
    rivalry_table,
    rivals_plot,
    statements_plot,
    writes_table,
)
from perflab.studies.advisor.views.maintenance import (
    findings_table,
    mended_plot,
    mended_table,
    misestimates_table,
)
from perflab.studies.advisor.views.returns import returns_table
from perflab.studies.advisor.views.slow import flips_table, slow_plot, slow_table
from perflab.studies.advisor.views.strangers import strangers_table

__all__ = [
    "advise_case",
    "against_catalogue",
    "build_and_watch",
    "dropped_table",
    "estimate_table",
    "find_slow",
    "findings_table",
    "flips_table",
    "idle_table",
    "look_after_case",
    "look_after_parcels",
    "make_case",
    "meet_strangers",
    "mended_plot",
    "mended_table",
    "misestimates_table",
    "proof_table",
    "prove_case",
    "rejected_table",
    "results_of",
    "returns_of_catalogue",
    "returns_table",
    "rivalry_table",
    "rivals_plot",
    "slow_plot",
    "slow_table",
    "statements_plot",
    "strangers_table",
    "writes_table",
]
