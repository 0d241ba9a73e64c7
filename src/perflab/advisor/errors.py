"""What the advisor refuses, each in one line."""

from __future__ import annotations

from perflab.errors import PerflabError


class AdvisorError(PerflabError):
    """The server or the database lacks something that the advisor needs."""


class StatementError(PerflabError):
    """A statement that the advisor does not take: says which and why."""
