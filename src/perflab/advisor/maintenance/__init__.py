"""Statistics and maintenance: what is stale, correlated, dead or bloated, and what mends it."""
