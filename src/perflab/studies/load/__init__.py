"""The load study: what 06_load measures, in the order in which it shows it."""

from perflab.studies.load.accuracy import measure_accuracy, measure_agreement
from perflab.studies.load.connections import hold_connections
from perflab.studies.load.planned import USERS, WIDENED, run_planned
from perflab.studies.load.stall import measure_stall
from perflab.studies.load.verdicts import NOTEBOOK, judge_connections, judge_counts, judge_scenarios
from perflab.studies.load.views.distribution import distribution_plot
from perflab.studies.load.views.planned import (
    crowd_table,
    demanded_table,
    files_table,
    quotas_plot,
    quotas_table,
    trials_table,
    verdict_table,
)
from perflab.studies.load.views.proofs import (
    accuracy_table,
    agreement_table,
    stall_plot,
    stall_table,
)
from perflab.studies.promised import claimed_table

__all__ = [
    "NOTEBOOK",
    "USERS",
    "WIDENED",
    "accuracy_table",
    "agreement_table",
    "claimed_table",
    "crowd_table",
    "demanded_table",
    "distribution_plot",
    "files_table",
    "hold_connections",
    "judge_connections",
    "judge_counts",
    "judge_scenarios",
    "measure_accuracy",
    "measure_agreement",
    "measure_stall",
    "quotas_plot",
    "quotas_table",
    "run_planned",
    "stall_plot",
    "stall_table",
    "trials_table",
    "verdict_table",
]
