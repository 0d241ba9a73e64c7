"""Before and after: each part of the API put to the same requests, left out and in place."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from perflab.load import Target
from perflab.measure.comparison import Comparison, compare
from perflab.measure.experiment import Arm, Draw, Experiment, Operation, Params
from perflab.measure.samples import Samples
from perflab.profiles import ApiSizes
from perflab.progress import Step
from perflab.studies.api.caller import Caller
from perflab.studies.api.ceiling import Served
from perflab.studies.api.parts import FIRST_VISITS, SERVERS, Part, Side
from perflab.studies.api.site import Person, StudyError
from perflab.studies.frames import comparison_row

CACHED: Final = "in the cache"
FRESH: Final = "first visit"
LEAST_KNOWN: Final = 24
"""People whose answers are in the caches from the start."""
MORE_CALLS: Final = 2
"""As many where some are first visits, of which nearly every round shall have one."""
VISITS_EACH: Final = 2
"""How often one of them is asked about the same at most, give or take: the dashboard's quota is ten
a minute."""


@dataclass(frozen=True)
class Contrast:
    """What a part makes of the same requests."""

    part: Part
    samples: Samples
    """``rows`` holds the bytes of the answers."""

    @property
    def overall(self) -> Comparison:
        """All operations, each with the same weight."""
        return compare(self.samples)

    def where(self, state: str) -> Comparison | None:
        """Requests in the cache, or first visits; None where there were none."""
        known = state in self.samples.selectivities
        return compare(self.samples, selectivities=[state]) if known else None

    def wire_bytes(self, operation: str) -> tuple[float, float]:
        """The average answer of an operation on the wire, before and after."""
        samples = self.samples.select([operation])
        before, after = (float(samples.rows[samples.arm == arm].mean()) for arm in (0, 1))
        return before, after


def measure_contrast(
    part: Part,
    served: Mapping[str, Served],
    people: Sequence[Person],
    sizes: ApiSizes,
    seed: int,
    step: Step | None = None,
) -> Contrast:
    """Interleaved blocks of requests over kept connections, with an A/A control.

    Who is asked for first visits comes from the end of ``people``, everybody else from its
    beginning. A StudyError tells of an answer that is not what it should be.
    """
    count = min(max(LEAST_KNOWN, sizes.rounds * sizes.calls // VISITS_EACH), len(people) // 2)
    if not count:
        raise StudyError("there are too few users to ask; choose a profile with more identities")
    known, fresh = people[:count], iter(people[: count - 1 : -1])
    with ExitStack() as stack:
        callers = {
            name: stack.enter_context(Caller(served[server].port))
            for name, server in (
                ("before", part.before.server),
                ("after", part.after.server),
                ("after again", part.control),
            )
        }
        _warm(part, callers, known)
        samples = Experiment(
            before=_arm("before", callers, part.before, "before"),
            after=_arm("after", callers, part.after, "after"),
            control=_arm("after again", callers, part.after, "after"),
            operations=_operations(part, known, fresh),
            rounds=sizes.rounds,
            calls=sizes.calls * (MORE_CALLS if part.first_visits else 1),
            warmup=0,  # all is warm, and a first visit is none any more after a warm-up
            seed=seed,
        ).run(step)
    return Contrast(part, samples)


def _operations(part: Part, known: Sequence[Person], fresh: Iterator[Person]) -> list[Operation]:
    visits = itertools.count(1)

    def is_first() -> bool:
        """Spread evenly, so that most rounds have one."""
        number = next(visits)
        return part.first_visits and int(number * FIRST_VISITS) > int((number - 1) * FIRST_VISITS)

    return [
        Operation(name, part.label, _drawer(part, name, itertools.cycle(known), fresh, is_first))
        for name in part.after.makes
    ]


def _warm(part: Part, callers: Mapping[str, Caller], known: Sequence[Person]) -> None:
    """Everybody's answers into the caches of the servers that have one; connections opened."""
    for name, caller in callers.items():
        side = part.before if name == "before" else part.after
        asked = known[:1] if "cache" in SERVERS[side.server] else known
        for make in side.makes.values():
            for person in asked:
                for request in make(person):
                    _checked(caller, request.render(_ANY), side.good)


def _arm(name: str, callers: Mapping[str, Caller], side: Side, sent: str) -> Arm:
    caller, good = callers[name], side.good

    def call(_operation: Operation, params: Params) -> int:
        wires: Any = params[sent]
        return sum(_checked(caller, wire, good) for wire in wires)

    return Arm(name, call)


def _checked(caller: Caller, wire: bytes, good: int) -> int:
    answer = caller.send(wire)
    if answer.status != good:
        asked = wire.partition(b" HTTP")[0].decode("latin-1")
        raise StudyError(f"{asked} was answered {answer.status} where {good} was expected")
    return answer.bytes


_ANY: Final = Target("127.0.0.1", 80)
"""Whom a request is rendered for: all servers of a contrast get the same bytes."""


def _drawer(
    part: Part,
    operation: str,
    known: Iterator[Person],
    fresh: Iterator[Person],
    is_first: Callable[[], bool],
) -> Callable[[np.random.Generator], Draw]:
    def rendered(side: Side, person: Person) -> list[bytes]:
        return [request.render(_ANY) for request in side.makes[operation](person)]

    def draw(_rng: np.random.Generator) -> Draw:
        new = is_first()
        person = next(fresh, None) if new else next(known)
        if person is None:
            raise StudyError("no user is left for a first visit; raise api.identities")
        sent = {"before": rendered(part.before, person), "after": rendered(part.after, person)}
        return Draw(sent, FRESH if new else CACHED)

    return draw


def contrast_frame(contrasts: Sequence[Contrast]) -> pd.DataFrame:
    """One row a part and request: both medians in ms, the reduction, bytes on the wire.

    Medians, since a call of half a millisecond that met a pause of the machine would outweigh
    all others in an average.
    """
    rows = []
    for contrast in contrasts:
        for operation in contrast.samples.operations:
            before, after = contrast.wire_bytes(operation)
            rows.append(
                {
                    "part": contrast.part.label,
                    "request": operation,
                    **comparison_row(compare(contrast.samples, operations=[operation]), "median"),
                    "bytes_before": before,
                    "bytes_after": after,
                }
            )
    return pd.DataFrame(rows)


def everything_frame(contrast: Contrast) -> pd.DataFrame:
    """Everything off against everything on: by request, by whether a cache had it, and in all."""
    found: dict[str, Comparison | None] = {
        **{
            name: compare(contrast.samples, operations=[name])
            for name in contrast.samples.operations
        },
        f"all, {CACHED}": contrast.where(CACHED),
        f"all, {FRESH}": contrast.where(FRESH),
        "all": contrast.overall,
    }
    return pd.DataFrame(
        [{"request": name, **comparison_row(c)} for name, c in found.items() if c is not None]
    )
