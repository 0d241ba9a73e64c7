"""Traces of accesses in files: plain or compressed, in several formats, a chunk at a time.

Memory does not grow with the file: about BLOCK_BYTES of text are in work at any time.
"""

from __future__ import annotations

import gzip
import lzma
import re
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from pandas.util import hash_array

from perflab.cache.accesses import Chunk, Keys
from perflab.cache.trace_formats import FORMATS, Columns, FormatName, LineFormat, detect
from perflab.errors import PerflabError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Number = TypeVar("Number", np.float64, np.int64)

BLOCK_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 1 << 20
SHOWN: Final = 5
"""How many malformed lines a Reading keeps."""

_HEAD_LINES = 50
_SHOWN_LENGTH = 60
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_MAGIC = {
    b"\x1f\x8b": "gz",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zst",
}
_DAMAGE = (EOFError, OSError, zlib.error, lzma.LZMAError, zstd.ZstdError)


class TraceError(PerflabError):
    """A trace cannot be read: names the file, the line where there is one, and the reason."""


@dataclass(frozen=True, slots=True)
class Malformed:
    """A line that was left out."""

    line: int
    """Counted from 1."""
    reason: str
    text: str
    """The line, or how it begins."""

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {self.text!r}"


@dataclass(slots=True)
class Reading:
    """What one pass over a trace has met so far."""

    lines: int = 0
    accesses: int = 0
    skipped: int = 0
    """Well-formed lines without an access: headers, empty lines, writes of a Twitter trace."""
    malformed: int = 0
    first: list[Malformed] = field(default_factory=list)
    """The first malformed lines, SHOWN at most."""


class Trace:
    """A file of accesses. ``chunks`` reads it; any number of passes may be made."""

    def __init__(self, path: Path, suffix: str, line_format: LineFormat) -> None:
        """Use ``open_trace``. ``suffix``: of the compression, "" for none."""
        self.path = path
        self._suffix = suffix
        self._format = line_format
        self.reading = Reading()
        """Of the newest pass; complete once that has ended."""

    @property
    def format(self) -> FormatName:
        """The format of the lines."""
        return self._format.name

    def chunks(self) -> Iterator[Chunk]:
        """All accesses in order.

        Malformed lines are counted and left out. TraceError if the file is damaged, if most of
        its first block is malformed, or if it holds no access at all.
        """
        reading = self.reading = Reading()
        for n, (numbers, lines) in enumerate(self._blocks(reading)):
            columns = self._parse(numbers, lines, reading)
            if n == 0 and 2 * reading.malformed > len(lines):
                raise self._error(
                    f"{reading.malformed:,} of its first {len(lines):,} lines are not of the"
                    f" format {self.format!r}; {reading.first[0]}; the formats are"
                    f" {', '.join(FORMATS)}"
                )
            keys = [key for part in columns for key in part.keys]
            if keys:
                reading.accesses += len(keys)
                times = _joined([part.times for part in columns])
                sizes = _joined([part.sizes for part in columns])
                yield Chunk(hash_keys(keys), times, sizes)
        if not reading.accesses:
            shown = f"; {reading.first[0]}" if reading.first else ""
            raise self._error(f"no access in {reading.lines:,} lines{shown}")

    def _parse(
        self, numbers: Sequence[int], lines: Sequence[str], reading: Reading
    ) -> list[Columns]:
        """The accesses of well-formed lines; the others are found by halving and counted."""
        if not lines:
            return []
        try:
            _refuse_control_characters(lines)
            columns = self._format.parse(lines)
        except ValueError as error:
            if len(lines) == 1:
                reading.malformed += 1
                if len(reading.first) < SHOWN:
                    text = lines[0][:_SHOWN_LENGTH]
                    reading.first.append(Malformed(numbers[0], str(error), text))
                return []
            half = len(lines) // 2
            return [
                *self._parse(numbers[:half], lines[:half], reading),
                *self._parse(numbers[half:], lines[half:], reading),
            ]
        reading.skipped += len(lines) - len(columns.keys)
        return [columns]

    def _blocks(self, reading: Reading) -> Iterator[tuple[Sequence[int], list[str]]]:
        """Blocks of lines without the header and empty ones, with their numbers from 1."""
        for texts in _read_lines(self.path, self._suffix):
            start = reading.lines + 1
            reading.lines += len(texts)
            numbers: Sequence[int] = range(start, reading.lines + 1)
            leave_out = max(0, self._format.header_lines + 1 - start)
            lines = texts[leave_out:]
            numbers = numbers[leave_out:]
            if "" in lines:
                numbers = [n for n, line in zip(numbers, lines, strict=True) if line]
                lines = [line for line in lines if line]
            reading.skipped += len(texts) - len(lines)
            yield numbers, lines

    def _error(self, reason: str) -> TraceError:
        return TraceError(f"{self.path}: {reason}")


def open_trace(
    path: Path | str,
    *,
    format: FormatName | None = None,
    column: str | int | None = None,
    time_column: str | int | None = None,
    size_column: str | int | None = None,
    header: bool | None = None,
    by_path: bool = False,
) -> Trace:
    """The trace in a file; its beginning is read to learn compression and format.

    Compression is told from the content. ``format`` forces a format; otherwise it is told from
    the name and the first lines (``trace_formats.detect``). ``column``, ``time_column`` and
    ``size_column`` choose columns of a CSV file by name or by number from 0; ``header`` says
    whether its first line is one (by default if a column is chosen by name). ``by_path``: the
    key of an access log is the path instead of method and URL.

    Raises TraceError: no such file, empty, binary, damaged, unknown format or column.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise TraceError(f"{path}: unknown format {format!r}; choose one of {', '.join(FORMATS)}")
    compression = _compression(path)
    with closing(_read_lines(path, compression)) as blocks:
        texts = next(blocks, [])
    lines = [line for line in texts if line][:_HEAD_LINES]
    if not lines:
        raise TraceError(f"{path}: the file is empty")
    if any("\x00" in line for line in lines):
        raise TraceError(f"{path}: a binary file; a trace is text, one access a line")
    name = path.with_suffix("") if compression else path
    try:
        line_format = detect(
            lines,
            name.suffix.lower(),
            column=column,
            time_column=time_column,
            size_column=size_column,
            header=header,
            by_path=by_path,
            forced=format,
        )
    except ValueError as error:
        raise TraceError(f"{path}: {error}") from None
    return Trace(path, compression, line_format)


def hash_keys(keys: list[str]) -> Keys:
    """A 64-bit hash of each key (SipHash), the same in every process."""
    hashed = hash_array(np.array(keys, dtype=object), categorize=False)
    return cast(Keys, hashed)


def _joined(parts: list[NDArray[Number] | None]) -> NDArray[Number] | None:
    """One column out of its parts; None where the format has no such column."""
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _refuse_control_characters(lines: Sequence[str]) -> None:
    text = "".join(lines)
    found = None if text.isprintable() else _CONTROL.search(text)
    if found:
        raise ValueError(f"a control character (code {ord(found[0])})")


def _compression(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not head:
        raise TraceError(f"{path}: the file is empty")
    found = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    named = path.suffix.lower().removeprefix(".")
    if not found and named in _MAGIC.values():
        raise TraceError(f"{path}: its name ends in .{named}, its content is no {named} file")
    return found


def _read_lines(path: Path, compression: str) -> Generator[list[str]]:
    """Blocks of lines without their ends; TraceError where the file is damaged."""
    done = 0
    rest = b""
    try:
        with _decompressed(path, compression) as stream:
            while block := stream.read(BLOCK_BYTES):
                block = rest + (block if done or rest else block.removeprefix(BOM_UTF8))
                cut = block.rfind(b"\n") + 1
                rest = block[cut:]
                if cut:
                    lines = _decoded(block[: cut - 1])
                    done += len(lines)
                    yield lines
                if len(rest) > MAX_LINE_BYTES:
                    raise TraceError(
                        f"{path}: line {done + 1:,} is longer than {MAX_LINE_BYTES:,} bytes;"
                        " a trace has one access a line"
                    )
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise TraceError(f"{path}: damaged or cut short after line {done:,}: {reason}") from None
    if rest:
        yield _decoded(rest)


def _decoded(block: bytes) -> list[str]:
    text = block.decode("utf-8", errors="backslashreplace")
    return text.replace("\r\n", "\n").removesuffix("\r").split("\n")


def _decompressed(path: Path, compression: str) -> BinaryIO:
    openers: dict[str, Callable[..., object]] = {
        "gz": gzip.open,
        "xz": lzma.open,
        "zst": zstd.open,
    }
    return cast(BinaryIO, openers.get(compression, open)(path, "rb"))
