"""A scenario file read, checked and made ready to run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from perflab.config import error_at, load_toml
from perflab.load.arrivals import positive
from perflab.load.errors import LoadError
from perflab.load.request import Target, check_field_name
from perflab.load.scenarios import file as written
from perflab.load.scenarios.arriving import check_arrival
from perflab.load.scenarios.conditions import Condition, parse
from perflab.load.scenarios.extract import Source
from perflab.load.scenarios.feeders import NAME, OWN_NAMES, read_feeders
from perflab.load.scenarios.steps import Feeder, Flow, Step
from perflab.load.scenarios.template import TemplateError

Steps = list[str | int]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is run; the fields are those of ``ScenarioFile``, checked."""

    path: Path
    title: str
    target: Target
    users: int
    duration_s: float
    warmup_s: float
    timeout_s: float
    seed: int
    arrival: written.Arrival
    thresholds: tuple[Condition, ...]
    abort: tuple[Condition, ...]
    feeders: tuple[Feeder, ...]
    setup: tuple[Step, ...]
    flows: tuple[Flow, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        """The requests that count, in the order of their numbers."""
        return tuple(step for flow in self.flows for step in flow.steps)


def load_scenario(
    path: Path,
    *,
    target: str = "",
    data: Mapping[str, Path] | None = None,
    duration_s: float | None = None,
    seed: int | None = None,
) -> Scenario:
    """The scenario in a file; a ConfigError names file, line, key and reason of what is wrong.

    Args:
        path: the file; ``docs/load.md`` describes it.
        target: a URL that stands for the file's.
        data: CSV files that stand for the feeders of these names.
        duration_s: stands for the file's; its warm-up is shortened with it.
        seed: stands for the file's.
    """
    file = load_toml(path, written.ScenarioFile)
    return _Reader(path, file, data or {}).scenario(target, duration_s, seed)


class _Reader:
    def __init__(self, path: Path, file: written.ScenarioFile, data: Mapping[str, Path]) -> None:
        self._path = path
        self._file = file
        self._data = data
        self._names: dict[str, Steps] = {}

    def _refuse(self, steps: Steps, reason: str) -> NoReturn:
        raise error_at(self._path, steps, reason) from None

    def scenario(self, target: str, duration_s: float | None, seed: int | None) -> Scenario:
        file = self._file
        if file.warmup_s >= file.duration_s:
            self._refuse(["warmup_s"], "must be shorter than duration_s")
        length = file.duration_s if duration_s is None else positive("duration_s", duration_s)
        aim = self._target(target)
        check_arrival(self._path, file.arrival, length)
        feeders = read_feeders(self._path, file.feeder, file.users, self._data)
        flows: list[Flow] = []
        known = {*OWN_NAMES, *(name for feeder in feeders for name in feeder.rows[0])}
        setup = self._steps(file.setup, ["setup"], known, 0)
        for number, flow in enumerate(file.flow):
            first = sum(len(before.steps) for before in flows)
            steps = self._steps(flow.request, ["flow", number, "request"], set(known), first)
            if flow.name in [before.name for before in flows]:
                self._refuse(["flow", number, "name"], f"two flows are called {flow.name!r}")
            flows.append(Flow(flow.name, flow.weight, steps))
        return Scenario(
            path=self._path,
            title=file.title,
            target=aim,
            users=file.users,
            duration_s=length,
            warmup_s=file.warmup_s * length / file.duration_s,
            timeout_s=file.timeout_s,
            seed=file.seed if seed is None else seed,
            arrival=file.arrival,
            thresholds=self._conditions("thresholds"),
            abort=self._conditions("abort"),
            feeders=feeders,
            setup=setup,
            flows=tuple(flows),
        )

    def _target(self, given: str) -> Target:
        if given:
            return Target.from_url(given)
        if not self._file.target:
            self._refuse(["target"], "there is none; name the server here or with --target URL")
        try:
            return Target.from_url(self._file.target)
        except LoadError as error:
            self._refuse(["target"], str(error))

    def _steps(
        self, given: Sequence[written.RequestStep], at: Steps, known: set[str], first: int
    ) -> tuple[Step, ...]:
        """The requests below ``at``; ``known`` grows by what they capture."""
        steps = []
        for number, one in enumerate(given):
            here: Steps = [*at, number]
            if not one.name.strip() or ":" in one.name:
                self._refuse([*here, "name"], f"{one.name!r}: a name has a letter and no colon")
            if one.name in self._names:
                self._refuse([*here, "name"], f"two requests are called {one.name!r}")
            self._names[one.name] = here
            if one.body is not None and one.json is not None:
                self._refuse([*here, "json"], "give body or json, not both")
            self._check_sources(one, here, known)
            try:
                step = Step(first + number, one, frozenset(self._file.refused))
                unknown = step.names - known
            except TemplateError as error:
                self._refuse([*here, self._faulty_text(one)], str(error))
            if unknown:
                self._refuse(
                    [*here, self._user_of(one, min(unknown))],
                    f"${{{min(unknown)}}} is not known here; known: {', '.join(sorted(known))}",
                )
            self._try(step, here)
            known.update(one.capture)
            steps.append(step)
        return tuple(steps)

    def _check_sources(self, one: written.RequestStep, here: Steps, known: set[str]) -> None:
        for name in one.capture:
            if not NAME.fullmatch(name) or name in OWN_NAMES or name in self._file.feeder:
                self._refuse([*here, "capture", name], "cannot be the name of a captured value")
        sources: list[tuple[Steps, Source]] = [
            *(([*here, "capture", name], source) for name, source in one.capture.items()),
            *(([*here, "check", number], check) for number, check in enumerate(one.check)),
        ]
        for at, source in sources:
            if len(source.given) != 1:
                self._refuse(at, "give one of json, regex and header")
            try:
                re.compile((source.regex or "").encode())
            except re.error as error:
                self._refuse([*at, "regex"], f"{source.regex!r} is no expression: {error}")
            if source.header is not None:
                try:
                    check_field_name("header", source.header)
                except LoadError as error:
                    self._refuse([*at, "header"], str(error))

    def _try(self, step: Step, here: Steps) -> None:
        """Fill in a harmless value for each name: what HTTP does not allow shows before the run."""
        try:
            step.request(dict.fromkeys(step.names, "/0"))
        except LoadError as error:
            key, _, reason = str(error).partition(": ")
            self._refuse([*here, "path" if key == "target" else key], reason)

    @staticmethod
    def _faulty_text(one: written.RequestStep) -> str:
        for key, value in _texts(one):
            try:
                Step(0, _only(one, key, value), frozenset())
            except TemplateError:
                return key
        return "path"

    @staticmethod
    def _user_of(one: written.RequestStep, name: str) -> str:
        for key, value in _texts(one):
            if name in Step(0, _only(one, key, value), frozenset()).names:
                return key
        return "path"

    def _conditions(self, key: str) -> tuple[Condition, ...]:
        names = {r.name for flow in self._file.flow for r in flow.request}
        found = []
        for text in getattr(self._file, key):
            try:
                found.append(parse(text, names))
            except ValueError as error:
                self._refuse([key], str(error))
        return tuple(found)


def _texts(one: written.RequestStep) -> list[tuple[str, Any]]:
    """The parts of a request that may hold names."""
    keys = ("path", "headers", "body", "json")
    return [(key, getattr(one, key)) for key in keys if getattr(one, key)]


def _only(one: written.RequestStep, key: str, value: Any) -> written.RequestStep:
    """A request with this part and no other."""
    return written.RequestStep(**{"name": one.name, "path": "/", key: value})
