"""The limiter study: what the *Limiter* section of 04_api measures, in the order of its cells.

How a notebook calls it (each measurement takes the lab's Redis and returns what its views show;
everything together takes less than ten seconds at the defaults)::

    from perflab.studies import limits

    admission = limits.measure_admission(redis)            # time lapse: a quarter of an hour in ms
    lab.table("limiter_worst_case", limits.admission_table(admission))
    lab.plot("limiter_admission", limits.admission_plot(admission))

    recount = limits.measure_over_admission(redis, seed)   # time lapse too
    lab.table("limiter_oracle", limits.over_admission_table(recount))

    outage = limits.survive_outage(redis)                  # real time, about 4 s; may be a NotRun
    lab.table("limiter_outage", limits.outage_table(outage))
    lab.plot("limiter_outage", limits.outage_plot(outage))

    overhead = limits.measure_overhead(redis, rounds=sizes.rounds, seed=seed)
    lab.table("limiter_overhead", limits.overhead_table(overhead))
    lab.plot("limiter_overhead", limits.overhead_plot(overhead))

What is *time lapse* runs on the real Redis with the time of each request as an argument; tables
and plots say so themselves. What it leaves out: the clock of the server, and waiting.
"""

from perflab.studies.limits.admission import measure_admission
from perflab.studies.limits.exactness import measure_over_admission
from perflab.studies.limits.outage import survive_outage
from perflab.studies.limits.overhead import measure_overhead
from perflab.studies.limits.views.admitted import (
    admission_plot,
    admission_table,
    over_admission_table,
)
from perflab.studies.limits.views.outage import outage_plot, outage_table
from perflab.studies.limits.views.overhead import overhead_plot, overhead_table

__all__ = [
    "admission_plot",
    "admission_table",
    "measure_admission",
    "measure_over_admission",
    "measure_overhead",
    "outage_plot",
    "outage_table",
    "over_admission_table",
    "overhead_plot",
    "overhead_table",
    "survive_outage",
]
