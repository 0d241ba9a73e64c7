"""Measuring: experiments, intervals, claims with verdicts, environments and results."""
