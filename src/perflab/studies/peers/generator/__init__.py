"""The generator section of 08_peers: what a load generator makes of a second of CPU time."""

from perflab.studies.peers.generator.race import ROUNDS, run_race
from perflab.studies.peers.generator.verdicts import judge_lateness, judge_race
from perflab.studies.peers.generator.views import race_table

__all__ = ["ROUNDS", "judge_lateness", "judge_race", "race_table", "run_race"]
