"""One load made by several workers: segments of one schedule, begun together, merged at the end."""

from perflab.load.distributed.conducting import conduct
from perflab.load.distributed.member import Member, State
from perflab.load.distributed.merging import merged

__all__ = ["Member", "State", "conduct", "merged"]
