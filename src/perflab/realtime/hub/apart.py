"""Starts hubs in processes of their own and speaks with them."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from contextlib import suppress
from typing import Final, Self

import msgspec
import psutil

from perflab.realtime.errors import RealtimeError
from perflab.realtime.hub.process import HubOrder, HubReport

_MODULE: Final = "perflab.realtime.hub.process"
_ENDS_S: Final = 20.0
_ANSWERS_S: Final = 60.0
"""A hub that says nothing for so long hangs; a busy one reports between two turns."""


class HubProcess:
    """A hub that runs for as long as the ``with`` block, at most.

    Args:
        order: what to serve.
        core: the processor core to stay on; None for any.

    Raises:
        RealtimeError: it did not start; the message is its own.
    """

    def __init__(self, order: HubOrder, *, core: int | None = None) -> None:
        self._order = order
        self._core = core
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        with tempfile.TemporaryFile() as said:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                # a Ctrl-C on the terminal is for the parent, which then ends this one
                start_new_session=True,
            )
            try:
                if self._core is not None:
                    psutil.Process(self.pid).cpu_affinity([self._core])
                self.url = self._converse(msgspec.json.encode(self._order))
            except BaseException:
                self.kill()
                raise
            if not self.url:
                self.kill()
                said.seek(0)
                words = said.read().decode(errors="replace").strip().splitlines()
                last = words[-1] if words else "without a word"
                raise RealtimeError(f"a hub did not start: {last.removeprefix('RealtimeError: ')}")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._running().pid

    def report(self) -> HubReport:
        """What it says of itself; a RealtimeError if it says nothing any more."""
        line = self._converse(b"report")
        if not line:
            raise RealtimeError("a hub does not run any more")
        return msgspec.json.decode(line, type=HubReport)

    def drain(self) -> None:
        """Tell it to drain; returns at once."""
        self._running().terminate()

    def wait(self) -> int:
        """Wait until it has ended; its exit status."""
        return self._running().wait(_ENDS_S)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs at all, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
            self._process.wait()

    def _converse(self, line: bytes) -> str:
        process = self._running()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("a pipe that was asked for is missing")
        try:
            process.stdin.write(line + b"\n")
            process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return ""
        if not select.select([process.stdout], [], [], _ANSWERS_S)[0]:
            raise RealtimeError(f"a hub said nothing for {_ANSWERS_S:g} s")
        return process.stdout.readline().decode().strip()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RealtimeError("the hub was not started; use it with: with HubProcess(…) as hub")
        return self._process
