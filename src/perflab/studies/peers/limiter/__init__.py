"""The limiter section of 08_peers: decisions at 50 concurrent callers."""

from perflab.studies.peers.limiter.decisions import measure_decisions
from perflab.studies.peers.limiter.verdicts import judge_decisions

__all__ = ["judge_decisions", "measure_decisions"]
