"""The database study: what 01_database measures, in the order in which it shows it."""

from perflab.studies.database.arms import Arms
from perflab.studies.database.choice import choose_subject
from perflab.studies.database.connections import (
    judge_pool,
    measure_connections,
    share_pool,
    survive_restart,
)
from perflab.studies.database.improvement import explain_queries, guarded_improvement
from perflab.studies.database.intro import claimed_frame, describe, indexes_used
from perflab.studies.database.paging import measure_paging
from perflab.studies.database.scaling import measure_scaling
from perflab.studies.database.selectivity import measure_selectivity
from perflab.studies.database.throughput import measure_throughput
from perflab.studies.database.verdicts import judge_improvement, judge_indexes
from perflab.studies.database.views.access import (
    filtering_plot,
    filtering_table,
    paging_plot,
    paging_table,
)
from perflab.studies.database.views.claims import plan_table, verdict_plot, verdict_table
from perflab.studies.database.views.costs import (
    index_table,
    planning_table,
    writes_plot,
    writes_table,
)
from perflab.studies.database.views.pool import (
    connections_table,
    outage_plot,
    outage_table,
    sharing_table,
)
from perflab.studies.database.views.queries import (
    plans_table,
    query_plot,
    query_table,
    scaling_plot,
    scaling_table,
    throughput_plot,
    throughput_table,
    users_table,
)
from perflab.studies.database.writes import measure_planning, measure_writes

__all__ = [
    "Arms",
    "choose_subject",
    "claimed_frame",
    "connections_table",
    "describe",
    "explain_queries",
    "filtering_plot",
    "filtering_table",
    "guarded_improvement",
    "index_table",
    "indexes_used",
    "judge_improvement",
    "judge_indexes",
    "judge_pool",
    "measure_connections",
    "measure_paging",
    "measure_planning",
    "measure_scaling",
    "measure_selectivity",
    "measure_throughput",
    "measure_writes",
    "outage_plot",
    "outage_table",
    "paging_plot",
    "paging_table",
    "plan_table",
    "planning_table",
    "plans_table",
    "query_plot",
    "query_table",
    "scaling_plot",
    "scaling_table",
    "share_pool",
    "sharing_table",
    "survive_restart",
    "throughput_plot",
    "throughput_table",
    "users_table",
    "verdict_plot",
    "verdict_table",
    "writes_plot",
    "writes_table",
]
