"""The capacity study: what 07_capacity measures, in the order in which it shows it."""

from perflab.studies.capacity.advice import advise
from perflab.studies.capacity.asked import people_of, prices_of, sizes_of
from perflab.studies.capacity.crowds import gather
from perflab.studies.capacity.held_back import predict
from perflab.studies.capacity.model import calibrate
from perflab.studies.capacity.money import basis_of, measure_arms
from perflab.studies.capacity.opened import open_stack
from perflab.studies.capacity.rounds import climb
from perflab.studies.capacity.steps import climb_open, core_rps
from perflab.studies.capacity.verdicts import NOTEBOOK, judge
from perflab.studies.capacity.views.attribution import attribution_plot, attribution_table
from perflab.studies.capacity.views.loads import (
    crowds_table,
    held_back_table,
    ladder_plot,
    ladder_table,
    law_table,
    steps_table,
)
from perflab.studies.capacity.views.money import (
    advice_table,
    explorer,
    people_table,
    promises_table,
    savings_table,
    verdict_table,
)
from perflab.studies.promised import claimed_table

__all__ = [
    "NOTEBOOK",
    "advice_table",
    "advise",
    "attribution_plot",
    "attribution_table",
    "basis_of",
    "calibrate",
    "claimed_table",
    "climb",
    "climb_open",
    "core_rps",
    "crowds_table",
    "explorer",
    "gather",
    "held_back_table",
    "judge",
    "ladder_plot",
    "ladder_table",
    "law_table",
    "measure_arms",
    "open_stack",
    "people_of",
    "people_table",
    "predict",
    "prices_of",
    "promises_table",
    "savings_table",
    "sizes_of",
    "steps_table",
    "verdict_table",
]
