"""The url rung: servers of the user's own, found and never started."""
