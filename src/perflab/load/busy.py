"""How long a thread has worked or wanted to: the generator's own share of the time."""

from __future__ import annotations

import os
import time


class BusyClock:
    """Seconds in which the thread that made it ran, or waited for a core while it could run.

    CPU time alone would look low exactly where the generator is short of a core. Linux keeps
    both (``Documentation/scheduler/sched-stats.rst``); elsewhere there is CPU time only.
    """

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._file = -1

    def __call__(self) -> float:
        """The seconds so far; to be called in that thread."""
        if self._file < 0:
            return time.thread_time()
        ran_ns, waited_ns, _ = os.pread(self._file, 100, 0).split()
        return (int(ran_ns) + int(waited_ns)) / 1e9

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
