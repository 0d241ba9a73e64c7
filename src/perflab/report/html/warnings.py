"""The report's warnings: everything that a reader must know before trusting a figure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perflab.measure.results import Result
from perflab.measure.statistics import Interval
from perflab.report.html.contents import Contents

SERVERS = {"postgres": "PostgreSQL", "redis": "Redis", "edge": "nginx"}


@dataclass(frozen=True)
class Notice:
    """One warning: what it is about, in a word or two, and the sentence."""

    about: str
    sentence: str

    @property
    def grave(self) -> bool:
        """True where figures are missing or must not be trusted."""
        return self.about in _GRAVE


_GRAVE = ("failed", "unfinished", "left out", "mixed", "empty", "saturation")


def warnings_of(contents: Contents, problems: tuple[str, ...]) -> tuple[Notice, ...]:
    """What a reader must know, the gravest first; ``problems`` are files left out."""
    return tuple(
        dict.fromkeys(
            (
                *_ending(contents),
                *(Notice("left out", problem) for problem in problems),
                *_mixture(contents.results),
                *_machine(contents.results),
                *_speed(contents),
                *_judgement(contents.newest),
                *_servers(contents),
            )
        )
    )


def _ending(contents: Contents) -> Iterator[Notice]:
    manifest = contents.manifest
    if manifest and manifest.status == "running":
        yield Notice(
            "unfinished",
            "The run's record has no end: it was killed, or was still going when this was written.",
        )
    if manifest and manifest.status == "stopped":
        yield Notice("unfinished", "The run was stopped before its end.")
    for notebook in contents.notebooks:
        if notebook.status == "failed":
            yield Notice("failed", f"{notebook.name}: {notebook.failure}")
        elif notebook.status == "running":
            yield Notice("unfinished", f"{notebook.name} did not come to its end.")
        elif notebook.status == "waiting":
            yield Notice("unfinished", f"{notebook.name} was not started.")
    if not contents.results:
        yield Notice("empty", "No notebook of this run has recorded a figure.")


def _mixture(results: tuple[Result, ...]) -> Iterator[Notice]:
    """Figures that do not belong side by side."""
    for attribute, what in (
        ("environment_id", "machines"),
        ("profile", "profiles"),
        ("seed", "seeds"),
        ("rung", "kinds of servers"),
        ("server_version", "server versions"),
    ):
        found = sorted({str(getattr(result.origin, attribute)) for result in results})
        if len(found) > 1:
            yield Notice(
                "mixed",
                f"These figures come from different {what} ({', '.join(found)}) "
                "and must not be compared with each other.",
            )


def _machine(results: tuple[Result, ...]) -> Iterator[Notice]:
    """What the results themselves warn of, each sentence once."""
    counts: dict[tuple[str, str], int] = {}
    for result in results:
        for warning in result.warnings:
            key = (result.origin.notebook, warning)
            counts[key] = counts.get(key, 0) + 1
    for (notebook, warning), count in counts.items():
        figures = "1 figure" if count == 1 else f"{count} figures"
        yield Notice("noise", f"{warning} ({figures} of {notebook}).")


def _speed(contents: Contents) -> Iterator[Notice]:
    if contents.speed:
        yield from (Notice("noise", sentence) for sentence in contents.speed.warnings)


def _judgement(newest: dict[str, Result]) -> Iterator[Notice]:
    judged = [(claim, result) for claim, result in newest.items() if result.verdict]
    void = [claim for claim, result in judged if result.verdict and result.verdict.word == "void"]
    if void:
        yield Notice(
            "saturation",
            "The load generator was the limit, so these figures say nothing about the system: "
            f"{', '.join(void)}.",
        )
    noisy = [
        claim
        for claim, result in judged
        if isinstance(result.aa, Interval) and not result.aa.covers(1.0)
    ]
    if noisy:
        yield Notice(
            "noise",
            "The same system measured twice differs (A/A control), so the lab cannot tell: "
            f"{', '.join(noisy)}.",
        )


def _servers(contents: Contents) -> Iterator[Notice]:
    environment = contents.environment
    known = environment.servers if environment else {}
    theirs = [SERVERS.get(name, name) for name, facts in known.items() if facts.rung == "url"]
    if not theirs and any("url" in result.origin.rung for result in contents.results):
        theirs = ["the server"]
    if theirs:
        yield Notice(
            "not ours",
            f"The lab did not start {' and '.join(theirs)}: its settings, its load and its "
            "neighbours were not under the lab's control.",
        )
    for sentence in getattr(environment, "lacks", ()):
        yield Notice("lacks", sentence)
