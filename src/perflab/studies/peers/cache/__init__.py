"""The cache section of 08_peers: memory hits, hit ratios, Redis gets, the tiered read path."""

from perflab.studies.peers.cache.memory import measure_memory_hits
from perflab.studies.peers.cache.ratios import measure_ratios, ratios_table, results_of_ratios
from perflab.studies.peers.cache.read_path import measure_read_path
from perflab.studies.peers.cache.shared_tier import measure_concurrent_gets
from perflab.studies.peers.cache.verdicts import (
    judge_concurrent_gets,
    judge_memory_hits,
    judge_ratios,
    judge_read_path,
    judge_warm_get,
)
from perflab.studies.peers.cache.warm_get import measure_warm_get

__all__ = [
    "judge_concurrent_gets",
    "judge_memory_hits",
    "judge_ratios",
    "judge_read_path",
    "judge_warm_get",
    "measure_concurrent_gets",
    "measure_memory_hits",
    "measure_ratios",
    "measure_read_path",
    "measure_warm_get",
    "ratios_table",
    "results_of_ratios",
]
