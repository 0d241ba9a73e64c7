"""Advice out of evidence: rules that cite the figure which triggered them, best value first."""

from perflab.capacity.recommend.evidence import Cached, Evidence, Pooled, Shares
from perflab.capacity.recommend.rules import Recommendation, recommend

__all__ = ["Cached", "Evidence", "Pooled", "Recommendation", "Shares", "recommend"]
