"""Which statements are one and the same: those that differ in values only."""

from __future__ import annotations

from pglast.parser import ParseError, fingerprint

from perflab.advisor.sql import redacted


def statement_key(text: str) -> str:
    """The same for statements that differ in values only, be they written out or ``$n``.

    Of a text that was already shortened or redacted the key is another one: take it before.
    """
    try:
        return str(fingerprint(text))
    except ParseError:
        return redacted(text)
