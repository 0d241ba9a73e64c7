"""The docker rung: servers in containers."""
