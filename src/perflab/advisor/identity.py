"""Which statements are one and the same: those that differ in values only."""

from __future__ import annotations

from contextlib import suppress

from pglast.parser import ParseError, fingerprint

from perflab.advisor.errors import StatementError
from perflab.advisor.sql import redacted, tables_of


def statement_key(text: str) -> str:
    """The same for statements that differ in values only, be they written out or ``$n``.

    Of a text that was already shortened or redacted the key is another one: take it before.
    """
    try:
        key = str(fingerprint(text))
    except ParseError:
        return redacted(text)
    # the fingerprint is that of tables' names alone, whatever schema they are in
    with suppress(StatementError):
        schemas = sorted(f"{schema}.{name}" for schema, name in tables_of(text) if schema)
        return " ".join((key, *schemas))
    return key
