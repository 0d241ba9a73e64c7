"""The process of a load: ``python -P -m perflab.load.worker``, plan in, samples out.

Its standard input stays open while its parent wants the load. The end of that, or another parent,
means that the parent is gone.
"""

from __future__ import annotations

import gc
import os
import select
import threading

from perflab.load.apart import encode_answer, read_plan
from perflab.load.engine import Engine, carry_out
from perflab.load.errors import LoadError
from perflab.load.samples import LoadSamples

_LOOK_S = 1.0


def _leave_with(parent: int) -> None:
    """End this process when the parent is gone; a forked sibling may still hold the pipe open."""
    while os.getppid() == parent:
        if select.select([0], [], [], _LOOK_S)[0]:
            break
    os._exit(1)


def main() -> None:
    """Carry out one plan."""
    parent = os.getppid()
    # without a buffer, which could hold back what the watch looks for
    plan = read_plan(open(0, "rb", buffering=0, closefd=False))  # noqa: SIM115
    threading.Thread(target=_leave_with, args=(parent,), daemon=True).start()
    gc.collect()
    gc.disable()  # nothing here lives in cycles, and a collection would delay what is due
    outcome: LoadSamples | LoadError
    try:
        outcome = Engine(lambda: carry_out(plan)).run()
    except LoadError as error:
        outcome = error
    # with a buffer, which writes on until all is written: under PYTHONUNBUFFERED the standard
    # output has none, and what a pipe does not take at once would be lost
    with open(1, "wb", closefd=False) as answer:
        answer.write(encode_answer(outcome))


if __name__ == "__main__":
    main()
