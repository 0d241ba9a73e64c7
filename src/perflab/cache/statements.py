"""Database statements as cache keys and tags: one spelling, parameters by type, tables named.

The tables of a statement written as text are found by a simple rule, not by a parser:

- strings, comments and dollar-quoted text are skipped;
- a name after FROM, JOIN, INTO, UPDATE, USING, TABLE, TRUNCATE or COPY, and after a comma in such
  a list, is a table, unless a parenthesis makes it a function call;
- the schema in front of a name is dropped, so two tables of one name count as one;
- names of common table expressions and a few false friends (``EXTRACT(year FROM day)``) are
  taken for tables too, which costs nothing.

It cannot see behind views, functions, triggers and foreign keys that cascade: name the tables
of such statements.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import hashlib
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import sqlalchemy
from sqlalchemy.sql import visitors

from perflab.cache.entry import CacheError

Statement: TypeAlias = str | sqlalchemy.ClauseElement
"""SQL as text, or a SQLAlchemy statement."""
Parameters: TypeAlias = Mapping[str, Any] | Sequence[Any] | None

_TOKEN: Final = re.compile(
    r"""
      (?P<skip>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_BEFORE_READ: Final = frozenset({"from", "join", "using"})
_BEFORE_WRITTEN: Final = frozenset({"into", "update", "table", "truncate", "copy"})
_NOT_AFTER: Final = {
    "from": frozenset({"distinct"}),  # IS DISTINCT FROM
    "update": frozenset({"for", "key", "do", "on"}),  # locks, ON CONFLICT, ON UPDATE
}
_BETWEEN: Final = frozenset({"only", "lateral", "if", "not", "exists"})
_ENDS_LIST: Final = frozenset(
    "where group order having limit offset fetch for union intersect except set values select"
    " returning window with default".split()
)


def normalised(sql: str) -> str:
    """The statement without comments, with one space for each gap, without a final semicolon."""
    pieces: list[str] = []
    for token in _TOKEN.finditer(sql):
        if token.lastgroup == "skip":
            if pieces and pieces[-1] != " ":
                pieces.append(" ")
        else:
            pieces.append(token.group())
    return "".join(pieces).rstrip("; ")


@functools.lru_cache(maxsize=1024)
def tables_of_text(sql: str, *, written: bool) -> frozenset[str]:
    """The tables that a statement names, or only those that it writes to."""
    finder = _Finder()
    for token in _TOKEN.finditer(sql):
        if token.lastgroup != "skip":
            finder.take(token)
    finder.end()
    return frozenset(finder.written if written else finder.named | finder.written)


def tables_of(statement: Statement, *, written: bool) -> frozenset[str]:
    """The tables that a statement reads or writes, or only those that it writes to."""
    if isinstance(statement, str):
        return tables_of_text(statement, written=written)
    found: set[str] = set()
    for node in visitors.iterate(statement):
        if isinstance(node, sqlalchemy.TextClause):
            found |= tables_of_text(node.text, written=written)
        elif written:
            if isinstance(node, sqlalchemy.Insert | sqlalchemy.Update | sqlalchemy.Delete):
                # it may name its table by an alias
                found |= tables_of(node.table, written=False)
        elif isinstance(node, sqlalchemy.TableClause):
            found.add(node.name)
        elif isinstance(node, sqlalchemy.Column) and isinstance(node.table, sqlalchemy.TableClause):
            found.add(node.table.name)
    return frozenset(found)


def digest(sql: str, parameters: Parameters) -> str:
    """A name for a normalised statement with these parameters; equal only for equal ones.

    Parameters differ when their types do: ``1``, ``1.0``, ``True`` and ``"1"`` are four, and so
    is a member of an enum and its value. A CacheError names the type of one that cannot be told
    apart reliably.
    """
    text = f"{sql}\0{_spelled(parameters)}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _spelled(value: Any) -> str:
    """A value with its type, such that different values are spelled differently."""
    if isinstance(value, enum.Enum):
        # a driver sends the name or the value; another enum may be called the same
        kind = type(value)
        return f"enum:{kind.__module__}.{kind.__qualname__}.{value.name!r}={_held(value)}"
    kind = type(value)
    if value is None or kind in _PLAIN:
        return f"{kind.__name__}:{value!r}"
    if isinstance(value, Mapping):
        items = sorted((_spelled(key), _spelled(item)) for key, item in value.items())
        return "{" + ",".join(f"{key}={item}" for key, item in items) + "}"
    if isinstance(value, list | tuple):
        return f"{'list' if isinstance(value, list) else 'tuple'}[{','.join(map(_spelled, value))}]"
    raise CacheError(
        f"a query parameter of type {kind.__name__} cannot be part of a cache key; pass a number,"
        " string, date, UUID, or a list or mapping of them"
    )


def _held(member: enum.Enum) -> str:
    try:
        return _spelled(member.value)
    except CacheError:
        return type(member.value).__qualname__


_PLAIN: Final = frozenset(
    {
        bool, int, float, str, bytes, decimal.Decimal, uuid.UUID,
        datetime.date, datetime.time, datetime.datetime, datetime.timedelta,
    }
)  # fmt: skip


class _Finder:
    """Applies the rule of this module to one token after the other."""

    def __init__(self) -> None:
        self.named: set[str] = set()
        self.written: set[str] = set()
        self._lists: list[set[str] | None] = [None]
        """For each open parenthesis, where names go while a list of tables is being read."""
        self._expects = False
        self._before = ""
        self._pending: str | None = None
        """A name that may turn out to be a schema or a function."""
        self._function_possible = False

    def take(self, token: re.Match[str]) -> None:
        """Look at the next token."""
        text = token.group()
        if self._pending is not None and self._settle(text):
            return
        word = text.lower() if token.lastgroup == "word" else ""
        if word in _BEFORE_READ or word in _BEFORE_WRITTEN:
            self._open_list(word)
        elif word in _ENDS_LIST:
            self._lists[-1], self._expects = None, False
        elif self._expects and token.lastgroup in ("word", "quoted"):
            if word not in _BETWEEN:
                self._pending = word or text[1:-1].replace('""', '"')
                self._expects = False
        elif text == "(":
            self._expects = self._expects and self._before != "using"
            self._lists.append(self._lists[-1] if self._expects else None)
        elif text == ")":
            if len(self._lists) > 1:
                self._lists.pop()
            self._expects = False
        elif text == ",":
            self._expects = self._lists[-1] is not None
        elif text != ".":
            self._expects = False
        self._before = word

    def end(self) -> None:
        """There are no more tokens."""
        self._keep()

    def _settle(self, text: str) -> bool:
        """Decide about the pending name by what follows it; True if that is dealt with."""
        if text == ".":
            self._pending, self._expects = None, True
            return True
        if text == "(" and self._function_possible:
            self._pending = None
        else:
            self._keep()
        return False

    def _open_list(self, word: str) -> None:
        if self._before in _NOT_AFTER.get(word, ()):
            return
        writes = word in _BEFORE_WRITTEN or (word == "from" and self._before == "delete")
        self._lists[-1] = self.written if writes else self.named
        self._function_possible = not writes
        self._expects = True

    def _keep(self) -> None:
        goes_to = self._lists[-1]
        if self._pending is not None and goes_to is not None:
            goes_to.add(self._pending)
        self._pending = None
