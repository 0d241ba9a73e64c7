"""The load study as tables and plots."""
