"""What the registry raises: one line that names the input and says what to do."""

from __future__ import annotations

from perflab.errors import PerflabError


class MonitorError(PerflabError):
    """Something cannot be registered; the message names it."""
