"""A figure without a *before*: one arm, and its independent repetitions are the unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from perflab.measure.statistics import Estimate, exact, mean_of_repetitions


class Measurement(msgspec.Struct, frozen=True):
    """One value per repetition, each from a fresh start of what is measured.

    The mean's interval is Student's over the repetitions; calls within one repetition share its
    fortunes and add nothing to n.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Repetitions."""
        return len(self.values)

    @property
    def estimate(self) -> Estimate:
        """The mean over repetitions, or why there is no interval."""
        return mean_of_repetitions(self.values)


def measure(
    name: str,
    unit: str,
    repeat: Callable[[int], float],
    repetitions: int,
    progress: Callable[[str, int, int], None] | None = None,
) -> Measurement:
    """Call ``repeat(number)`` for each repetition; it starts afresh and returns one figure."""
    values: list[float] = []
    for number in range(repetitions):
        if progress:
            progress(f"repetition {number + 1} of {repetitions}", number, repetitions)
        values.append(float(repeat(number)))
    if progress:
        progress("", repetitions, repetitions)
    return Measurement(name, unit, tuple(values))


def counted(values: Sequence[object]) -> Estimate:
    """How many there are, as a figure without error."""
    return exact(float(len(values)))
