"""The embedded rung: servers started from programs on this machine."""
