"""The threads of a process that serves: none pushes another off the core or out of Python."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

LOCK_S: Final = 0.02
"""How long a thread runs Python before it must let another have the interpreter's lock. The event
loop lets go of it by itself whenever it looks for events. A turn that answers some dozens of
requests takes longer than Python's 5 ms on a slow core, and to be interrupted then costs two
switches and a cold cache to bring in requests that would only wait for the next turn."""


@contextlib.contextmanager
def patient_threads() -> Iterator[None]:
    """Within the block, threads wait longer for a core and for the interpreter's lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(LOCK_S)
    try:
        with _in_batches():
            yield
    finally:
        sys.setswitchinterval(before)


@contextlib.contextmanager
def _in_batches() -> Iterator[None]:
    """This thread and those it starts wait for a core like work in batches.

    The event loop and the server's own thread wake each other for every request and response. On
    a core of their own whoever is woken interrupts the other, only to wait for the interpreter's
    lock: 0.73 switches a request and 0.15 with this, and a tenth to a sixth of the CPU time. It
    is Linux's ``SCHED_BATCH``; elsewhere, and where a policy was chosen, nothing changes.
    """
    if not hasattr(os, "SCHED_BATCH") or os.sched_getscheduler(0) != os.SCHED_OTHER:
        yield
        return
    try:
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
