"""What a run's folder holds, read as far as it can be read: the report's only source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import nbformat

from perflab.errors import PerflabError
from perflab.measure.claims import Claims, load_claims
from perflab.measure.environment import Environment, read_environment
from perflab.measure.results import Result, read_results
from perflab.measure.speed import SpeedRecord, read_speed
from perflab.report.exhibits import Exhibit, Exhibits, read_exhibits
from perflab.runs import Manifest, NotebookRun, RunFolder, read_manifest

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """A run, and in ``problems`` one line for each file that could not be read."""

    run: RunFolder
    manifest: Manifest | None
    environment: Environment | None
    speed: SpeedRecord | None
    claims: Claims
    results: tuple[Result, ...]
    exhibits: tuple[Exhibits, ...]
    books: dict[str, Any]
    """Executed notebooks (nbformat 4) by name."""
    problems: tuple[str, ...]

    @property
    def id(self) -> str:
        """The run's id, also where its folder has been renamed."""
        return self.manifest.id if self.manifest else self.run.id

    @property
    def notebooks(self) -> tuple[NotebookRun, ...]:
        """Every notebook of the run: the batch's in its order, then others that left files."""
        known = self.manifest.notebooks if self.manifest else ()
        found = {r.origin.notebook for r in self.results} | {e.notebook for e in self.exhibits}
        rest = sorted((found | set(self.books)) - {n.name for n in known})
        return (*known, *(NotebookRun(name=n, parameters={}, status="done") for n in rest))

    @property
    def newest(self) -> dict[str, Result]:
        """The newest result of each claim."""
        ordered = sorted(self.results, key=lambda result: result.recorded_at)
        return {result.claim: result for result in ordered if result.claim}

    def exhibits_of(self, notebook: str) -> tuple[Exhibit, ...]:
        """What this notebook showed, in its order."""
        return next((e.exhibits for e in self.exhibits if e.notebook == notebook), ())

    def unclaimed(self, kind: str, ending: str) -> list[str]:
        """Names of tables or plots that no notebook's index holds, as in runs made before it."""
        owned = {e.name for index in self.exhibits for e in index.exhibits}
        return [p.stem for p in self.run.files(kind, ending) if p.stem not in owned]


def read_contents(run: RunFolder) -> Contents:
    """Read a run's folder; a file that is corrupt or of another version becomes a problem."""
    problems: list[str] = []

    def readable(paths: Sequence[Path], read: Callable[[Path], T]) -> list[tuple[str, T]]:
        found = []
        for path in paths:
            try:
                found.append((path.stem, read(path)))
            except PerflabError as error:
                problems.append(str(error).replace(f"{run.path}/", ""))
            except (
                OSError,
                ValueError,
            ) as error:  # msgspec's, nbformat's
                reason = " ".join(str(error).split())[:200] or type(error).__name__
                problems.append(f"{path.relative_to(run.path)}: cannot be read ({reason})")
        return found

    def only(path: Path, read: Callable[[Path], T]) -> T | None:
        found = readable([path] if path.exists() else [], read)
        return found[0][1] if found else None

    manifest = only(run.manifest, read_manifest)
    environment = only(run.environment, read_environment)
    speed = only(run.speed, read_speed)
    claims = only(run.claims, load_claims)
    results = [r for _, rs in readable(run.files("results", "json"), read_results) for r in rs]
    exhibits = [index for _, index in readable(run.files("exhibits", "json"), read_exhibits)]
    books = dict(readable(run.files("notebooks", "ipynb"), _read_book))
    return Contents(
        run=run,
        manifest=manifest,
        environment=environment,
        speed=speed,
        claims=load_claims() if claims is None else claims,
        results=tuple(results),
        exhibits=tuple(exhibits),
        books=books,
        problems=tuple(problems),
    )


def _read_book(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    try:
        book = nbformat.reads(text, as_version=4)
        nbformat.validate(book)
    except (AttributeError, nbformat.ValidationError):  # valid JSON of another shape
        raise ValueError("is no notebook") from None
    return book
