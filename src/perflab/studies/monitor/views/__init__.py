"""What the monitoring study shows: a live panel, a timeline, tables."""
