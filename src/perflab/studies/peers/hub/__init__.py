"""The hub section of 08_peers: what a second of CPU time is worth on one hot channel."""

from perflab.studies.peers.hub.fanout import ROUNDS, run_fanout
from perflab.studies.peers.hub.verdicts import judge_fanout
from perflab.studies.peers.hub.views import fanout_plot, fanout_table, saves_text

__all__ = ["ROUNDS", "fanout_plot", "fanout_table", "judge_fanout", "run_fanout", "saves_text"]
