"""Whether a run is worse than a base run: what may be compared, and the rerun that confirms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from perflab.errors import PerflabError
from perflab.measure.claims import load_claims
from perflab.measure.environment import Environment, capture, read_environment
from perflab.measure.regression import (
    DEFAULT_TOLERANCES,
    Change,
    RunComparison,
    Tolerances,
    compare_runs,
)
from perflab.measure.results import Result, read_results
from perflab.measure.speed import SLOW, SpeedError, SpeedRecord, read_speed
from perflab.runs import Manifest, RunFolder, find_run, read_manifest

Rerun = Callable[["Order"], None]
"""Runs an order's notebooks into its folder; a notebook that fails leaves what it measured."""


class CompareError(PerflabError):
    """Two runs cannot be compared."""


class RunRecord(msgspec.Struct, frozen=True):
    """What a run's folder holds of it."""

    folder: RunFolder
    results: tuple[Result, ...]
    manifest: Manifest | None
    """None where no batch made the run."""
    environment: Environment | None
    speed: SpeedRecord | None

    @property
    def notebooks(self) -> frozenset[str]:
        """The notebooks that the run was asked for, as far as it says."""
        asked = self.manifest.notebooks if self.manifest else ()
        return frozenset(r.origin.notebook for r in self.results) | {n.name for n in asked}

    @property
    def directions(self) -> dict[str, str]:
        """``at_least`` or ``at_most`` of each claim that the run was judged by."""
        kept = self.folder.claims
        return {c.id: c.direction for c in load_claims(kept if kept.is_file() else None)}


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be run again, exactly as the run was made."""

    common: dict[str, object]
    """Profile, services, seed and claims."""
    notebooks: dict[str, dict[str, object]]
    """Each notebook's own parameters."""
    folder: Path
    """A new folder beside the run's."""
    reasons: tuple[str, ...]
    """What is suspected, one line each."""


class Differences(msgspec.Struct, frozen=True):
    """In what two runs differ beside their figures, in words."""

    refusing: tuple[str, ...]
    """Differences that explain any change of any figure."""
    noted: tuple[str, ...]
    """Differences that may be what is tested, such as a server's new version."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``perflab compare`` has to say."""

    run: str
    base: str
    differences: Differences
    first: RunComparison
    again: RunComparison | None = None
    """The rerun against the base; None where nothing was rerun."""
    again_id: str = ""

    @property
    def failing(self) -> tuple[Change, ...]:
        """What fails the build: all that fails, after a rerun only what failed in it too."""
        if self.again is None:
            return self.first.failing
        return tuple(change for change in self.first.failing if self.seen_again(change))

    @property
    def conclusion(self) -> str:
        """One sentence."""
        failing, suspected = len(self.failing), len(self.first.failing)
        pair = f"{self.run} against {self.base}"
        if self.again is None:
            return f"{pair}: " + (f"{_figures(suspected)} worse" if suspected else "no regression")
        seen = f"{failing} of {suspected} seen again in {self.again_id}"
        return f"{pair}: {seen}" + ("" if failing else "; no regression is confirmed")

    @property
    def remarks(self) -> tuple[str, ...]:
        """In what the runs differ, those first that had to be forced."""
        found = self.differences
        return (*(f"forced in spite of {words}" for words in found.refusing), *found.noted)

    def seen_again(self, change: Change) -> Change | None:
        """The same figure failing in the rerun: regressed again, or vanished."""
        for other in self.again.failing if self.again else ():
            if other.key == change.key or (
                other.key[:2] == change.key[:2] and "vanished" in (other.outcome, change.outcome)
            ):
                return other
        return None


def read_run(name: str) -> RunRecord:
    """A run by its id or folder; one clear error where it is missing, unfinished or corrupt."""
    folder = find_run(name)
    manifest = read_manifest(folder.manifest) if folder.manifest.is_file() else None
    if manifest is not None and manifest.status in ("running", "stopped"):
        raise CompareError(
            f"{name}: the run did not finish ({manifest.status}); compare one that did"
        )
    results = _results(folder)
    if not results:
        raise CompareError(f"{name}: the run has no results; there is nothing to compare")
    return RunRecord(folder, results, manifest, _environment(folder), _speed(folder))


def differences(run: RunRecord, base: RunRecord) -> Differences:
    """What makes figures of the two runs differ for reasons that no table shows.

    Another machine, rung, profile or seed refuses: each changes what is measured (cores, how the
    server is reached, rows, the data and parameters drawn). A server's version, its settings and
    a notebook's parameters are noted: they change by an edit of somebody's, which is what a
    comparison is for.
    """
    refusing = [
        f"{word}: {_joined(here)} against {_joined(there)}"
        for word, field in (
            ("machine", "environment_id"),
            ("rung", "rung"),
            ("profile", "profile"),
            ("seed", "seed"),
        )
        if (here := _origins(run, field)) != (there := _origins(base, field))
    ]
    noted = []
    here, there = _origins(run, "server_version"), _origins(base, "server_version")
    if here != there:
        noted.append(f"server: {_joined(here)} against {_joined(there)}")
    noted.extend(_settings(run, base))
    noted.extend(_speeds(run, base))
    noted.extend(_parameters(run, base))
    for which, record in (("run", run), ("base", base)):
        noted.extend(
            f"{which}: {sentence}" for sentence in (*_failures(record), *_warnings(record))
        )
    return Differences(tuple(refusing), tuple(noted))


def compare(
    run: RunRecord,
    base: RunRecord,
    *,
    tolerances: Tolerances = DEFAULT_TOLERANCES,
    force: bool = False,
) -> Report:
    """Compare two runs; a CompareError where they do not belong together, unless forced."""
    if not all(math.isfinite(t) for t in (tolerances.ratio, tolerances.absolute or 0)):
        raise CompareError("a tolerance is a finite number of percent")
    if run.folder.path == base.folder.path:
        raise CompareError(f"{run.folder.id}: is the base itself; name two runs")
    found = differences(run, base)
    if found.refusing and not force:
        raise CompareError(
            f"{run.folder.id} and {base.folder.id} differ in {'; '.join(found.refusing)}; "
            "compare like with like, or add --force to compare all the same"
        )
    return Report(
        run=run.folder.id,
        base=base.folder.id,
        differences=found,
        first=_compared(run, base, tolerances),
    )


def confirm(
    report: Report,
    run: RunRecord,
    base: RunRecord,
    rerun: Rerun,
    environment_id: str | None = None,
) -> Report:
    """Run the notebooks of what fails once more and compare that run with the base.

    Only the notebooks that hold a suspect are rerun. What fails in both runs is confirmed: chance
    would have to hit the same figure twice. The base is the same in both: one that was measured
    in a lucky moment is found only by measuring it again.

    ``environment_id`` is this machine's (default: looked up); a CompareError where the run is not
    from here.
    """
    if not report.first.failing:
        return report
    here = environment_id or capture().id
    if _origins(run, "environment_id") != {here}:
        raise CompareError(
            f"{run.folder.id}: was made on another machine than this one ({here}); "
            "confirm it there, or leave --confirm out"
        )
    order = order_of(report, run)
    rerun(order)
    folder = RunFolder(order.folder)
    second = compare_runs(
        [r for r in base.results if r.origin.notebook in order.notebooks],
        _results(folder),
        directions=run.directions,
        tolerances=report.first.tolerances,
        ran=order.notebooks,
    )
    return msgspec.structs.replace(report, again=second, again_id=folder.id)


def order_of(report: Report, run: RunRecord) -> Order:
    """What ``confirm`` reruns; a CompareError where the run does not say how it was made.

    Parameters are not guessed: a rerun without those that made the regression would acquit it.
    The servers come from the rung that the run had, also where it asked for ``auto``.
    """
    if run.manifest is None:
        raise CompareError(
            f"{run.folder.id}: has no run.json, so --confirm does not know its parameters; "
            "make the run with `perflab run`, or leave --confirm out"
        )
    rungs = _origins(run, "rung")
    given = {notebook.name: notebook.parameters for notebook in run.manifest.notebooks}
    suspected = dict.fromkeys(change.notebook for change in report.first.failing)
    kept = run.folder.claims
    return Order(
        common={
            "profile": run.manifest.profile,
            "services": rungs.pop() if len(rungs) == 1 else run.manifest.services,
            "seed": run.manifest.seed,
            "claims": str(kept) if run.manifest.claims and kept.is_file() else "",
        },
        notebooks={name: dict(given.get(name, {})) for name in suspected},
        folder=_beside(run.folder.path),
        reasons=tuple(f"{c.name} ({c.metric}): {c.outcome}" for c in report.first.failing),
    )


def _compared(run: RunRecord, base: RunRecord, tolerances: Tolerances) -> RunComparison:
    compared = compare_runs(
        base.results,
        run.results,
        directions=run.directions,
        tolerances=tolerances,
        ran=run.notebooks,
    )
    if all(change.outcome in ("new", "vanished") for change in compared.changes):
        raise CompareError(
            f"{run.folder.id} and {base.folder.id} have no measurement in common; "
            "compare runs of the same notebooks and workload"
        )
    return compared


def _results(folder: RunFolder) -> tuple[Result, ...]:
    return tuple(r for path in folder.files("results", "json") for r in read_results(path))


def _origins(record: RunRecord, field: str) -> set[str]:
    return {str(getattr(result.origin, field)) for result in record.results}


def _joined(words: set[str]) -> str:
    return " and ".join(sorted(words))


def _environment(folder: RunFolder) -> Environment | None:
    try:
        return read_environment(folder.environment)
    except (OSError, msgspec.MsgspecError):
        return None  # the results name the machine; this file only adds settings to the notes


def _speed(folder: RunFolder) -> SpeedRecord | None:
    try:
        return read_speed(folder.speed)
    except SpeedError:
        return None


def _speeds(run: RunRecord, base: RunRecord) -> list[str]:
    """How much slower the machine itself was in one of them."""
    if run.speed is None or base.speed is None or not (run.speed.looks and base.speed.looks):
        return []
    ratio = run.speed.middle / base.speed.middle
    if SLOW <= ratio <= 1 / SLOW:
        return []
    return [
        f"the machine ran at {ratio:.0%} of the speed that it had in the base (a fixed loop, the"
        " median): milliseconds and rates differ by that alone"
    ]


def _settings(run: RunRecord, base: RunRecord) -> list[str]:
    if run.environment is None or base.environment is None:
        return []
    said: list[str] = []
    for name in sorted(run.environment.servers.keys() & base.environment.servers.keys()):
        here = run.environment.servers[name].settings
        there = base.environment.servers[name].settings
        said.extend(
            f"{name} setting {key}: {here.get(key, 'default')} against {there.get(key, 'default')}"
            for key in sorted(here.keys() | there.keys())
            if here.get(key) != there.get(key)
        )
    return said


def _parameters(run: RunRecord, base: RunRecord) -> list[str]:
    here, there = _given(run), _given(base)
    return [
        f"{notebook}, parameter {name}: {_value(here[notebook], name)} against "
        f"{_value(there[notebook], name)}"
        for notebook in sorted(here.keys() & there.keys())
        for name in sorted(here[notebook].keys() | there[notebook].keys())
        if here[notebook].get(name) != there[notebook].get(name)
    ]


def _given(record: RunRecord) -> dict[str, Mapping[str, object]]:
    asked = record.manifest.notebooks if record.manifest else ()
    return {notebook.name: notebook.parameters for notebook in asked}


def _value(parameters: Mapping[str, object], name: str) -> str:
    return str(parameters[name]) if name in parameters else "its default"


def _failures(record: RunRecord) -> Sequence[str]:
    asked = record.manifest.notebooks if record.manifest else ()
    return tuple(f"{n.name} failed: {n.failure}" for n in asked if n.failure)


def _warnings(record: RunRecord) -> Sequence[str]:
    return tuple(dict.fromkeys(w for result in record.results for w in result.warnings))


def _figures(count: int) -> str:
    return f"{count} figure{'s' if count != 1 else ''}"


def _beside(path: Path) -> Path:
    """A new folder's name next to the run's, which says what it repeats."""
    number = 1
    while (found := path.with_name(f"{path.name}-again{number}")).exists():
        number += 1
    return found
