"""The one error of the load package: it names the input and says what to do."""

from __future__ import annotations

from perflab.errors import PerflabError


class LoadError(PerflabError):
    """A schedule, request, target or option is unusable, or no load could be made at all."""
