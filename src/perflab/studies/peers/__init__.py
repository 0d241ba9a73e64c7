"""Side-by-side benchmarks against other libraries: what 08_peers shows, a package a section."""

from perflab.studies.peers.contest import Sizes, results_of
from perflab.studies.peers.installed import versions_frame
from perflab.studies.peers.targets import verdict_table
from perflab.studies.peers.views import contest_table, lead_plot

__all__ = ["Sizes", "contest_table", "lead_plot", "results_of", "verdict_table", "versions_frame"]
