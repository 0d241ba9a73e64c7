"""SQL scripts cut into statements as psql cuts them, with COPY data and line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from perflab.errors import PerflabError

_TOKEN = re.compile(
    r"""
      (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<escape>[eE]')
    | (?P<quote>')
    | (?P<name>")
    | (?P<dollar>\$(?:[A-Za-z_\x80-\xff][A-Za-z0-9_\x80-\xff]*)?\$)
    | (?P<word>[A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<end>;)
    | (?P<command>\\)
    | (?P<other>[^\s'"$\\;()/A-Za-z_\x80-\xff-]+|[/$-])
    """,
    re.VERBOSE,
)
_CLOSERS = {
    "quote": re.compile(r"'"),  # a doubled quote closes one string and opens the next
    "escape": re.compile(r"\\[\s\S]|''|(?P<closer>')"),
    "name": re.compile(r'"'),
    "block": re.compile(r"/\*|\*/"),
}
_COPY_IN = re.compile(r"\bFROM\s+STDIN\b", re.IGNORECASE)
_PASSED_OVER = ("restrict", "unrestrict")
"""pg_dump brackets its scripts in these since August 2025; they only concern psql."""
_FIRST_WORDS = 4


class ScriptError(PerflabError):
    """A script cannot be read: ``line`` and the reason; callers add the file's name."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Statement:
    """One statement without its semicolon."""

    sql: bytes
    line: int
    """Where its first word stands, from 1."""
    words: tuple[str, ...]
    """Its first four words outside strings, in lower case."""
    data: Iterable[bytes] | None = None
    """The lines that follow a ``COPY ... FROM stdin``; to be read before the next statement."""

    @property
    def text(self) -> str:
        """The statement for people: one line, comments at its head left out."""
        kept = re.sub(rb"^(\s|--[^\n]*\n|/\*.*?\*/)+", b"", self.sql, flags=re.DOTALL)
        return " ".join(kept.decode(errors="replace").split())


@dataclass
class _Scanner:
    """Reads lines and hands out statements; holds what is open across lines."""

    lines: Iterator[bytes]
    number: int = 0
    pieces: list[str] = field(default_factory=list)
    opened: str = ""
    """The kind of token that is open: a key of ``_CLOSERS`` or ``dollar``; empty for none."""
    tag: str = ""
    opened_at: int = 0
    blocks: int = 0
    parens: int = 0
    begins: int = 0
    words: list[str] = field(default_factory=list)
    first: int = 0
    """The line of the statement's first token, 0 before it."""

    def statements(self) -> Iterator[Statement]:
        for raw in self.lines:
            self.number += 1
            # latin-1 keeps every byte as it is, whatever encoding the script is in
            yield from self._line(raw.decode("latin-1"))
        if self.opened and self.opened != "block":
            raise ScriptError(self.opened_at, "a string that begins here never ends")
        if self.first:
            yield self._take()

    def _line(self, line: str) -> Iterator[Statement]:
        at = start = 0
        while at < len(line):
            if self.opened:
                at = self._inside(line, at)
                continue
            token = _TOKEN.search(line, at)
            if token is None:
                break
            kind, at = str(token.lastgroup), token.end()
            if kind == "command":
                self._command(line[token.start() :])
                start = len(line)  # nothing of this line belongs to a statement
                break
            if kind == "end" and self.parens == 0 and self.begins == 0:
                self.pieces.append(line[start : token.start()])
                start = at
                if self.first:
                    statement = self._take()
                    yield statement
                    if statement.data is not None:
                        for _left in statement.data:
                            pass
                        return
                self.pieces.clear()
                continue
            self._token(kind, token[0])
        self.pieces.append(line[start:])

    def _inside(self, line: str, at: int) -> int:
        """Skip to the end of what is open; returns where to go on in the line."""
        if self.opened == "dollar":
            found = line.find(self.tag, at)
            if found < 0:
                return len(line)
            self.opened = ""
            return found + len(self.tag)
        for mark in _CLOSERS[self.opened].finditer(line, at):
            if self.opened == "block":
                self.blocks += 1 if mark[0] == "/*" else -1
                if self.blocks:
                    continue
            elif self.opened == "escape" and not mark["closer"]:
                continue
            self.opened = ""
            return mark.end()
        return len(line)

    def _token(self, kind: str, text: str) -> None:
        if kind == "comment":
            return
        if kind in ("block", "escape", "quote", "name", "dollar"):
            self.opened, self.opened_at, self.tag = kind, self.number, text
            self.blocks = 1 if kind == "block" else 0
            if kind == "block":
                return
        self.first = self.first or self.number
        if kind == "open":
            self.parens += 1
        elif kind == "close":
            self.parens = max(0, self.parens - 1)
        elif kind == "word":
            self._word(text.lower())

    def _word(self, word: str) -> None:
        """Count BEGIN and END of a routine's SQL body, whose semicolons end no statement."""
        if len(self.words) < _FIRST_WORDS:
            self.words.append(word)
        if self.parens or not _makes_a_routine(self.words):
            return
        if word == "begin" or (word == "case" and self.begins):
            self.begins += 1
        elif word == "end" and self.begins:
            self.begins -= 1

    def _command(self, text: str) -> None:
        name = (re.match(r"\\(\S*)", text) or [text, text])[1]
        if self.first == 0 and name in _PASSED_OVER:
            return
        raise ScriptError(
            self.number,
            f"\\{name} is a command of psql, not SQL; leave it out (COPY ... FROM stdin with its "
            "data is understood, files of rows go under [data.csv])",
        )

    def _take(self) -> Statement:
        sql = "".join(self.pieces).encode("latin-1").strip()
        copies = self.words[:1] == ["copy"] and _COPY_IN.search(sql.decode("latin-1"))
        statement = Statement(
            sql, self.first, tuple(self.words), self._copy_data() if copies else None
        )
        self.pieces.clear()
        self.words.clear()
        self.first = self.parens = self.begins = 0
        return statement

    def _copy_data(self) -> Iterator[bytes]:
        for line in self.lines:
            self.number += 1
            if line.rstrip(b"\r\n") == b"\\.":
                return
            yield line


def split(lines: Iterable[bytes]) -> Iterator[Statement]:
    """The statements of a script, one at a time, so that it may be larger than memory.

    Understands strings, quoted names, dollar quotes, nested comments, routines with an SQL body
    and COPY data. A ScriptError for commands of psql and for a string that never ends.
    """
    return _Scanner(iter(lines)).statements()


def read(lines: Iterable[bytes]) -> tuple[Statement, ...]:
    """The statements of a script that fits into memory, with their COPY data."""
    return tuple(
        statement if statement.data is None else replace(statement, data=tuple(statement.data))
        for statement in split(lines)
    )


def read_text(text: str, first_line: int = 1) -> tuple[Statement, ...]:
    """The statements of a text whose own first line is ``first_line`` of its file."""
    above = [b"\n"] * (first_line - 1)
    return read([*above, *text.encode().splitlines(keepends=True)])


def _makes_a_routine(words: list[str]) -> bool:
    after = words[3:4] if words[1:3] == ["or", "replace"] else words[1:2]
    return words[:1] == ["create"] and after in (["function"], ["procedure"])
