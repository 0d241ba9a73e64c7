"""The cache study: what 03_cache measures, in the order in which it shows it."""

from perflab.studies.cache.ages import measure_ages
from perflab.studies.cache.capacity import measure_room
from perflab.studies.cache.compression import measure_compression, sample_rows
from perflab.studies.cache.edge import (
    measure_edge_hits,
    measure_edge_latency,
    measure_edge_purges,
    survive_edge_outage,
)
from perflab.studies.cache.latency import measure_latency, mix_of, slowest_queries
from perflab.studies.cache.outage import survive_outage
from perflab.studies.cache.policies import measure_policies
from perflab.studies.cache.races import measure_purges, measure_races
from perflab.studies.cache.staleness import READ_RPS, measure_staleness
from perflab.studies.cache.stampede import measure_stampede
from perflab.studies.cache.tiers import (
    measure_memory,
    measure_rates,
    measure_tiers,
    needed_frame,
    tier_frame,
)
from perflab.studies.cache.verdicts import NOTEBOOK, judge_hits, judge_latency, judge_promises
from perflab.studies.cache.views.behaviour import (
    ages_table,
    outage_plot,
    outage_table,
    purges_table,
    races_table,
    room_table,
    stampede_table,
)
from perflab.studies.cache.views.claims import hit_plot, plan_table, verdict_table
from perflab.studies.cache.views.edge import edge_hits_table, edge_latency_table, joined
from perflab.studies.cache.views.ratios import (
    hits_table,
    ledger_table,
    needed_table,
    policies_plot,
    policies_table,
    rates_plot,
    staleness_table,
    workload_table,
)
from perflab.studies.cache.views.times import (
    break_even_table,
    compression_plot,
    compression_table,
    improvement_table,
    latency_plot,
    latency_table,
    warmth_plot,
    warmth_table,
)
from perflab.studies.cache.warmth import measure_warmth
from perflab.studies.cache.workload import choose_workload
from perflab.studies.database.application import make_lab_arms
from perflab.studies.promised import claimed_table

__all__ = [
    "NOTEBOOK",
    "READ_RPS",
    "ages_table",
    "break_even_table",
    "choose_workload",
    "claimed_table",
    "compression_plot",
    "compression_table",
    "edge_hits_table",
    "edge_latency_table",
    "hit_plot",
    "hits_table",
    "improvement_table",
    "joined",
    "judge_hits",
    "judge_latency",
    "judge_promises",
    "latency_plot",
    "latency_table",
    "ledger_table",
    "make_lab_arms",
    "measure_ages",
    "measure_compression",
    "measure_edge_hits",
    "measure_edge_latency",
    "measure_edge_purges",
    "measure_latency",
    "measure_memory",
    "measure_policies",
    "measure_purges",
    "measure_races",
    "measure_rates",
    "measure_room",
    "measure_staleness",
    "measure_stampede",
    "measure_tiers",
    "measure_warmth",
    "mix_of",
    "needed_frame",
    "needed_table",
    "outage_plot",
    "outage_table",
    "plan_table",
    "policies_plot",
    "policies_table",
    "purges_table",
    "races_table",
    "rates_plot",
    "room_table",
    "sample_rows",
    "slowest_queries",
    "staleness_table",
    "stampede_table",
    "survive_edge_outage",
    "survive_outage",
    "tier_frame",
    "verdict_table",
    "warmth_plot",
    "warmth_table",
    "workload_table",
]
