"""The line formats of traces: which one a file has, and what its lines say.

One line is one access in every format. ``parse`` takes many lines and is all or nothing: it
raises a ``ValueError`` with the reason if any of them is malformed, and the caller narrows down
which.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from itertools import compress
from typing import Final, Literal, Protocol, get_args

import numpy as np

from perflab.cache.accesses import Sizes, Times

FormatName = Literal["keys", "csv", "libcachesim", "twitter", "access_log"]
FORMATS: Final[tuple[FormatName, ...]] = get_args(FormatName)

LIBCACHESIM_FIELDS: Final = ["version", "time", "op", "size", "lbn"]
TWITTER_READS: Final = frozenset({"get", "gets"})
TWITTER_OPERATIONS: Final = TWITTER_READS | {
    *("set", "add", "replace", "cas", "append", "prepend", "delete", "incr", "decr"),
}
_KEY_COLUMNS: Final = ("key", "id", "obj_id", "object_id", "url", "lbn")
_DELIMITERS: Final = (",", "\t", ";", "|")
_LOG: Final = re.compile(
    r"\S+ \S+ [^\[]*\[(?P<time>[^\]]+)\]"
    r' "(?P<method>[A-Z]+) (?P<url>(?:[^"\\\s]|\\.)+)(?: HTTP/[\d.]+)?"'
    r" \d{3} (?P<size>\d+|-)(?: |$)"
)
_LOG_TIME: Final = re.compile(
    r"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(\d{2})(\d{2})"
)
_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


@dataclass(frozen=True, slots=True)
class Columns:
    """What some lines say: as many keys as accesses, which are at most as many as lines."""

    keys: list[str]
    times: Times | None = None
    sizes: Sizes | None = None


class LineFormat(Protocol):
    """How the lines of one file are to be understood."""

    name: FormatName
    header_lines: int
    """Lines at the start that hold no access."""

    def parse(self, lines: Sequence[str]) -> Columns:
        """The accesses of ``lines`` (none of them empty); ValueError if any is malformed."""
        ...


class KeyLines:
    """One key a line, the whole line."""

    name: FormatName = "keys"
    header_lines = 0

    def parse(self, lines: Sequence[str]) -> Columns:
        """See ``LineFormat``."""
        return Columns(list(lines))


class CsvLines:
    """A column of a CSV file with the same number of fields on every line."""

    name: FormatName = "csv"

    def __init__(
        self,
        fields: int,
        column: int,
        *,
        time_column: int | None = None,
        size_column: int | None = None,
        delimiter: str = ",",
        header: bool = False,
    ) -> None:
        """Columns count from 0."""
        self.header_lines = int(header)
        self._fields = fields
        self._column = column
        self._time_column = time_column
        self._size_column = size_column
        self._delimiter = delimiter

    def parse(self, lines: Sequence[str]) -> Columns:
        """See ``LineFormat``."""
        fields = split(lines, self._fields, self._delimiter)
        keys = fields[self._column]
        if "" in keys:
            raise ValueError(f"field {self._column + 1} (the key) is empty")
        times, sizes = self._time_column, self._size_column
        return Columns(
            keys,
            None if times is None else _times(fields[times], times),
            None if sizes is None else _sizes(fields[sizes], sizes),
        )


class LibCacheSimLines(CsvLines):
    """libCacheSim's ``version,time,op,size,lbn``: every operation is an access to ``lbn``."""

    name: FormatName = "libcachesim"

    def __init__(self, *, header: bool) -> None:
        super().__init__(5, 4, time_column=1, size_column=3, header=header)


class TwitterLines:
    """Twitter's cache-trace: time, key, key size, value size, client, operation, TTL.

    Only ``get`` and ``gets`` are accesses: the trace's writes mostly answer misses of the cache
    that was traced. An object's size is that of key and value.
    """

    name: FormatName = "twitter"
    header_lines = 0

    def parse(self, lines: Sequence[str]) -> Columns:
        """See ``LineFormat``."""
        fields = split(lines, 7, ",")
        operations = fields[5]
        unknown = set(operations) - TWITTER_OPERATIONS
        if unknown:
            raise ValueError(f"field 6: {min(unknown)!r} is no operation")
        if "" in fields[1]:
            raise ValueError("field 2 (the key) is empty")
        times = _times(fields[0], 0)
        sizes = _sizes(fields[2], 2) + _sizes(fields[3], 3)
        _sizes(fields[6], 6)
        reads = np.array([operation in TWITTER_READS for operation in operations])
        return Columns(list(compress(fields[1], reads)), times[reads], sizes[reads])


class AccessLogLines:
    """The combined (or common) log format of nginx and Apache, a virtual host before it or not.

    The key is method and URL, or with ``by_path`` the URL without its query.
    """

    name: FormatName = "access_log"
    header_lines = 0

    def __init__(self, *, by_path: bool = False) -> None:
        self._by_path = by_path

    def parse(self, lines: Sequence[str]) -> Columns:
        """See ``LineFormat``."""
        keys, times, sizes = [], [], []
        for line in lines:
            found = _LOG.match(line)
            if found is None:
                raise ValueError("not a line of the combined log format")
            time, method, url, size = found.groups()
            keys.append(url.partition("?")[0] if self._by_path else f"{method} {url}")
            times.append(_log_time(time))
            sizes.append(0 if size == "-" else int(size))
        return Columns(keys, np.array(times, dtype=np.float64), _int64(sizes))


def split(lines: Sequence[str], fields: int, delimiter: str) -> list[list[str]]:
    """The lines' columns; ValueError where a line has not ``fields`` fields."""
    text = delimiter.join(lines)
    if '"' in text:
        return _split_quoted(lines, fields, delimiter)
    # No list a line: a list is work for the garbage collector, which made this ten times slower.
    _check_fields({line.count(delimiter) + 1 for line in lines}, fields)
    values = text.split(delimiter)
    return [values[n::fields] for n in range(fields)]


def _split_quoted(lines: Sequence[str], fields: int, delimiter: str) -> list[list[str]]:
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"not CSV: {error}") from None
    if len(rows) != len(lines):
        raise ValueError("a quoted field runs over the end of the line")
    _check_fields(set(map(len, rows)), fields)
    return [list(column) for column in zip(*rows, strict=True)]


def _check_fields(found: set[int], fields: int) -> None:
    wrong = found - {fields}
    if wrong:
        raise ValueError(f"{min(wrong)} fields instead of {fields}")


def detect(
    lines: Sequence[str],
    suffix: str,
    *,
    column: str | int | None = None,
    time_column: str | int | None = None,
    size_column: str | int | None = None,
    header: bool | None = None,
    by_path: bool = False,
    forced: FormatName | None = None,
) -> LineFormat:
    """The format of a file that begins with ``lines`` (none empty), its name ending ``suffix``.

    In this order: the one ``forced``; ``csv`` if a column is named; an access log, libCacheSim's
    header or Twitter's seven fields where most lines say so; CSV by the name's end; else one
    key a line. ValueError where the column of a CSV file cannot be told.
    """
    name = forced
    if name is None:
        name = "csv" if column is not None else _recognise(lines, suffix)
    if name == "keys":
        return KeyLines()
    if name == "twitter":
        return TwitterLines()
    if name == "access_log":
        return AccessLogLines(by_path=by_path)
    if name == "libcachesim":
        return LibCacheSimLines(header=_is_libcachesim_header(lines[0]))
    return _csv(lines, column, time_column, size_column, header)


def _recognise(lines: Sequence[str], suffix: str) -> FormatName:
    if _is_libcachesim_header(lines[0]):
        return "libcachesim"
    for candidate in (AccessLogLines(), TwitterLines()):
        if 2 * sum(_parses(candidate, line) for line in lines) > len(lines):
            return candidate.name
    return "csv" if suffix in (".csv", ".tsv") else "keys"


def _parses(candidate: LineFormat, line: str) -> bool:
    try:
        candidate.parse([line])
    except ValueError:
        return False
    return True


def _is_libcachesim_header(line: str) -> bool:
    return [field.strip().lower() for field in line.split(",")] == LIBCACHESIM_FIELDS


def _csv(
    lines: Sequence[str],
    column: str | int | None,
    time_column: str | int | None,
    size_column: str | int | None,
    header: bool | None,
) -> CsvLines:
    delimiter = max(_DELIMITERS, key=lines[0].count)
    try:
        first = next(csv.reader(lines[:1], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"line 1: not CSV: {error}") from None
    if column is None:
        known = [name for name in first if name.strip().lower() in _KEY_COLUMNS]
        if len(known) == 1:
            column = known[0]
        elif len(first) == 1:
            column = 0
        else:
            raise ValueError(
                "which column holds the key? Call it key in the first line, or name it (column=);"
                f" the fields are {_list(first)}"
            )
    chosen = (column, time_column, size_column)
    named = any(isinstance(name, str) for name in chosen)
    key, time, size = (None if name is None else _position(first, name) for name in chosen)
    if key is None:
        raise AssertionError("a column was chosen above")
    return CsvLines(
        len(first),
        key,
        time_column=time,
        size_column=size,
        delimiter=delimiter,
        header=named if header is None else header,
    )


def _position(first: list[str], column: str | int) -> int:
    if isinstance(column, int):
        if not 0 <= column < len(first):
            raise ValueError(f"no column {column}: line 1 has {len(first)}, counted from 0")
        return column
    names = [name.strip() for name in first]
    if column.strip() not in names:
        raise ValueError(f"no column {column!r} in line 1: its fields are {_list(first)}")
    return names.index(column.strip())


def _list(fields: list[str]) -> str:
    shown = ", ".join(repr(field[:30]) for field in fields[:12])
    return shown if len(fields) <= 12 else f"{shown} and {len(fields) - 12} more"


def _times(values: list[str], column: int) -> Times:
    try:
        times = np.array(list(map(float, values)), dtype=np.float64)
    except ValueError:
        times = np.array([np.nan])
    if not np.isfinite(times).all():
        raise ValueError(f"field {column + 1} (the time) is no number")
    return times


def _sizes(values: list[str], column: int) -> Sizes:
    try:
        return _int64(list(map(int, values)))
    except ValueError:
        raise ValueError(f"field {column + 1} is no whole number from 0 on") from None


def _int64(values: list[int]) -> Sizes:
    try:
        sizes = np.array(values, dtype=np.int64)
    except OverflowError:
        raise ValueError("a size above the range of 64 bits") from None
    if len(sizes) and sizes.min() < 0:
        raise ValueError("a negative size")
    return sizes


@lru_cache(maxsize=64)
def _log_time(text: str) -> float:
    """``10/Oct/2000:13:55:36 -0700`` as seconds since 1970 (``%b`` would follow the locale)."""
    found = _LOG_TIME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        raise ValueError(f"{text[:40]!r} is no time of the combined log format")
    day, _, year, hour, minute, second = (
        found[n] if n == 2 else int(found[n]) for n in range(1, 7)
    )
    ahead = timedelta(hours=int(found[8]), minutes=int(found[9]))
    zone = timezone(-ahead if found[7] == "-" else ahead)
    month = _MONTHS.index(found[2]) + 1
    moment = datetime(int(year), month, int(day), int(hour), int(minute), int(second), tzinfo=zone)
    return moment.timestamp()
