"""What the advisor refuses, each in one line."""

from __future__ import annotations

import psycopg

from perflab.errors import PerflabError


class AdvisorError(PerflabError):
    """The server or the database lacks something that the advisor needs."""


class StatementError(PerflabError):
    """A statement that the advisor does not take: says which and why."""


def said(error: psycopg.Error) -> str:
    """The server's first words, unless they quote a value, as those of functions may."""
    if isinstance(error, psycopg.DataError):
        return "a value does not fit its type"
    if " at RAISE" in (error.diag.context or ""):
        return "a function of the database raises an error"
    return str(error).splitlines()[0]
