"""What each notebook measures: a mechanism of the package joined with the measurement core."""
