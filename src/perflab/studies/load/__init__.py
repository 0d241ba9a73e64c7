"""The load study: what 06_load measures, in the order in which it shows it."""

from perflab.studies.load.accuracy import (
    accuracy_table,
    agreement_table,
    measure_accuracy,
    measure_agreement,
)
from perflab.studies.load.planned import USERS, WIDENED, run_planned
from perflab.studies.load.scenarios_shown import (
    demanded_table,
    files_table,
    quotas_plot,
    quotas_table,
    trials_table,
    verdict_table,
)
from perflab.studies.load.stall import measure_stall, stall_plot, stall_table
from perflab.studies.load.summaries import times_plot
from perflab.studies.load.verdicts import NOTEBOOK, judge_counts, judge_scenarios
from perflab.studies.promised import claimed_table

__all__ = [
    "NOTEBOOK",
    "USERS",
    "WIDENED",
    "accuracy_table",
    "agreement_table",
    "claimed_table",
    "demanded_table",
    "files_table",
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
    "times_plot",
    "trials_table",
    "verdict_table",
]
