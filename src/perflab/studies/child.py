"""A program of a study in a process of its own: told what to do by lines, and never left behind."""

from __future__ import annotations

import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from perflab.errors import PerflabError

ENDS_S = 5.0
"""How long a program that stopped talking may take to be gone."""


class ChildError(PerflabError):
    """A process of a study ended before its time."""


class Child:
    """A Python program, by its file, that reads orders from its input and answers line by line.

    What is secret goes into an order, never into the command line, where everybody could read it.
    The program ends when its input does, so it does not outlive whoever started it.
    """

    def __init__(self, program: Path) -> None:
        self._name = program.stem
        # -P: the modules beside the program must not hide the standard library's
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._process as process:  # closes the pipes and waits
            process.kill()
            if process.stdin is not None:
                with suppress(BrokenPipeError):  # what it was told and did not read
                    process.stdin.close()

    def say(self, line: str) -> None:
        """Give it a line; a ChildError if it does not listen any more."""
        if self._process.stdin is None:
            raise ChildError(f"the process of {self._name} has no input")
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def hear(self, within_s: float | None = None) -> str:
        """Its next line; a ChildError if it ended instead, or says nothing in time.

        A limit is for programs that answer one line to each that they are given.
        """
        output = self._process.stdout
        if output is None:
            raise ChildError(f"the process of {self._name} has no output")
        if within_s is not None and not select.select([output], [], [], within_s)[0]:
            raise ChildError(f"the process of {self._name} did not answer within {within_s:g} s")
        line = output.readline().strip()
        if not line:
            raise self._ended()
        return line

    def _ended(self) -> ChildError:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDS_S)
        return ChildError(
            f"the process of {self._name} ended with exit code {self._process.returncode};"
            " look at its message"
        )
