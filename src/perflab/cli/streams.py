"""The standard streams as they may be: closed, left by their reader, or without Unicode."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_OUT: Final = 1
_ERR: Final = 2


class _Left(io.FileIO):
    """A file whose reader may leave, as in ``perflab … | head``: the work goes on without it."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or let it be where nobody reads any more."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def keep_streams() -> None:
    """Let nothing that happens to the process's own streams end its work.

    One that is closed would be given to the next file that is opened; it becomes the null device.
    What an encoding lacks, and a file's name that is no text, is printed as an escape.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= _ERR:
        os.set_inheritable(spare, True)
    os.close(spare)
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _kept(sys.stdout, _OUT)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _kept(sys.stderr, _ERR)


def _kept(stream: TextIO | None, number: int) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(_Left(number, "w", closefd=False)),
        encoding=stream.encoding if stream else "utf-8",
        errors="backslashreplace",
        line_buffering=number == _ERR or os.isatty(number),
    )
