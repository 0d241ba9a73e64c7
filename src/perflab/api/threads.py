"""The threads of a process that serves: none pushes another off the core by being woken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def patient_threads() -> Iterator[None]:
    """Within the block, this thread and those it starts wait for a core like work in batches.

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
