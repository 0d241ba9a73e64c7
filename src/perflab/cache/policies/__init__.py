"""Eviction policies simulated on traces: hit ratios by size, their ceiling, their prediction."""
