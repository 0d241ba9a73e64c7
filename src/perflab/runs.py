"""A run: its folder, where each kind of file has a place, and its manifest, ``run.json``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import msgspec

from perflab import __version__
from perflab.errors import ParameterError, PerflabError
from perflab.files import read_document, write_document, write_whole
from perflab.paths import data_dir, runs_dir

NEWEST = "newest"
"""In place of a run's id: the newest below the folder of runs."""

RUN_VARIABLE = "PERFLAB_RUN_DIR"
"""Set by a batch: the folder that its notebooks share."""
SERVICES_VARIABLE = "PERFLAB_SERVICES_FILE"
"""Set by a batch: the file from which its notebooks attach to its servers."""

MANIFEST_VERSION = 1


class RunError(PerflabError):
    """A run's own files cannot be read."""


@dataclass(frozen=True)
class RunFolder:
    """``runs/<utc>-<profile>/`` with a folder for each kind of file."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name, which names the run in every result."""
        return self.path.name

    @property
    def manifest(self) -> Path:
        """``run.json``: see ``Manifest``; missing where no batch made the run."""
        return self.path / "run.json"

    @property
    def environment(self) -> Path:
        """``environment.json``: what the figures were measured on."""
        return self.path / "environment.json"

    @property
    def speed(self) -> Path:
        """``speed.json``: how fast the machine was meanwhile; missing where nothing was timed."""
        return self.path / "speed.json"

    @property
    def claims(self) -> Path:
        """``claims.toml``: a copy of the claims that the run was judged by."""
        return self.path / "claims.toml"

    @property
    def report(self) -> Path:
        """``report.html``."""
        return self.path / "report.html"

    @property
    def notebooks(self) -> Path:
        """Executed notebooks."""
        return self._folder("notebooks")

    @property
    def results(self) -> Path:
        """``<notebook>.json``: typed results."""
        return self._folder("results")

    @property
    def samples(self) -> Path:
        """Parquet files of timed calls."""
        return self._folder("samples")

    @property
    def tables(self) -> Path:
        """Each table as CSV and Markdown."""
        return self._folder("tables")

    @property
    def plots(self) -> Path:
        """Each plot as PNG."""
        return self._folder("plots")

    @property
    def exhibits(self) -> Path:
        """``<notebook>.json``: which tables and plots it showed, in its order."""
        return self._folder("exhibits")

    def keep_claims(self, given: str) -> None:
        """Copy the claims file, the plan's where none was given; the first one stays."""
        if not self.claims.exists():
            source = Path(given) if given else data_dir() / "claims.toml"
            write_whole(self.claims, source.read_bytes())

    def files(self, kind: str, ending: str) -> list[Path]:
        """The files of one kind, sorted by name; makes no folder."""
        return sorted((self.path / kind).glob(f"*.{ending}"))

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def check_out(out: Path | None) -> None:
    """A ParameterError if the folder asked for holds something, or a run cannot have one."""
    above = runs_dir() if out is None else out.absolute()
    try:
        taken = out is not None and out.exists() and (not out.is_dir() or any(out.iterdir()))
        while not above.exists():
            above = above.parent
    except OSError as error:
        raise ParameterError(f"--out {out}: cannot be used ({error.strerror})") from None
    if taken:
        raise ParameterError(f"--out {out}: is not empty; name a new folder")
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "may not be written to" if above.is_dir() else "is no folder"
        raise ParameterError(
            f"the run's folder cannot be made: {above} {reason};"
            " choose another with --out or PERFLAB_RUNS_DIR"
        )


def new_run(profile: str, out: Path | None = None) -> RunFolder:
    """Create the folder of a new run: ``out`` (must be new or empty), else one below runs/."""
    check_out(out)
    if out is not None:
        path = out.resolve()
    else:
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{profile}"
        path = runs_dir() / stamp
        suffix = 2
        while path.exists():
            path = runs_dir() / f"{stamp}-{suffix}"
            suffix += 1
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ParameterError(
            f"the run's folder {path} cannot be made ({error.strerror}); "
            "choose another with --out or PERFLAB_RUNS_DIR"
        ) from None
    return RunFolder(path)


def current_run(profile: str) -> RunFolder:
    """The batch's folder when a batch runs this notebook, else a new one."""
    shared = os.environ.get(RUN_VARIABLE)
    return RunFolder(Path(shared)) if shared else new_run(profile)


def find_run(name: str) -> RunFolder:
    """The run of this id or folder, or the ``newest``; a ParameterError where there is none."""
    below = runs_dir()
    if name == NEWEST:
        found = sorted(p for p in below.glob("*") if _STAMP.match(p.name) and _is_run(p))
        if not found:
            raise ParameterError(f"no run in {below} yet; `perflab run` makes one")
        return RunFolder(found[-1])
    try:
        for path in (Path(name), below / name):
            if _is_run(path):
                return RunFolder(path.resolve())
        other = Path(name).is_dir()
    except OSError as error:
        raise ParameterError(f"{name}: cannot be looked at ({error.strerror})") from None
    if other:
        raise ParameterError(
            f"{name}: is no run (it holds none of {', '.join(_SIGNS)}); name a folder of {below}"
        )
    raise ParameterError(f"{name}: no run of that name or folder; runs are in {below}")


_STAMP = re.compile(r"\d{8}T\d{6}Z-")
_SIGNS = ("run.json", "results", "notebooks", "environment.json")
"""A folder that holds one of these is a run."""


def _is_run(path: Path) -> bool:
    return path.is_dir() and any((path / sign).exists() for sign in _SIGNS)


class NotebookRun(msgspec.Struct, frozen=True, kw_only=True):
    """One notebook of a run: what it was given and how it ended."""

    name: str
    parameters: dict[str, Any]
    """Those given beyond the run's own; never a secret, which comes from the environment only."""
    status: Literal["waiting", "running", "done", "failed"] = "waiting"
    seconds: float | None = None
    """None until it has ended."""
    failure: str = ""
    """The cell and the reason in one line; empty unless ``failed``."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch set out to do and how far it came; written as ``run.json``."""

    format: Literal["perflab-run"] = "perflab-run"
    version: int = MANIFEST_VERSION
    id: str
    perflab: str
    """The package's version."""
    started_at: str
    """UTC, ISO 8601."""
    ended_at: str | None = None
    """None while it runs, and for ever if it was killed."""
    status: Literal["running", "done", "failed", "stopped"] = "running"
    """``failed``: a notebook did, or the batch itself; ``stopped``: by Ctrl-C or a signal."""
    profile: str
    services: str
    """The rung asked for; results say which it was."""
    seed: int
    claims: str = ""
    """The claims file given; empty for the plan's."""
    notebooks: tuple[NotebookRun, ...]
    notes: tuple[str, ...] = ()
    """Where the servers came from, as it was printed."""


class Journal:
    """The manifest of a batch in progress, written anew at each step.

    As a context manager it says how the batch ended, also when an exception ends it.
    """

    def __init__(
        self,
        run: RunFolder,
        common: Mapping[str, Any],
        notebooks: Mapping[str, Mapping[str, Any]],
        notes: Sequence[str] = (),
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``common``: profile, services, seed and claims; ``notebooks``: what was given else."""
        self._path = run.manifest
        self._clock = clock
        self.manifest = Manifest(
            id=run.id,
            perflab=__version__,
            started_at=self._now(),
            profile=str(common["profile"]),
            services=str(common["services"]),
            seed=int(common["seed"]),
            claims=str(common["claims"]),
            notebooks=tuple(NotebookRun(name=n, parameters=dict(p)) for n, p in notebooks.items()),
            notes=tuple(notes),
        )

    def __enter__(self) -> Journal:
        self._write()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        status: Literal["done", "failed", "stopped"] = "done"
        if kind is not None:
            status = "stopped" if issubclass(kind, KeyboardInterrupt) else "failed"
        elif any(notebook.failure for notebook in self.manifest.notebooks):
            status = "failed"
        self._change(status=status, ended_at=self._now())

    def starts(self, name: str) -> None:
        """A notebook begins."""
        self._notebook(name, status="running")

    def ends(self, name: str, seconds: float, failure: str = "") -> None:
        """A notebook has ended, with the reason in one line if it failed."""
        self._notebook(
            name, status="failed" if failure else "done", seconds=seconds, failure=failure
        )

    def _notebook(self, name: str, **changes: Any) -> None:
        replace = msgspec.structs.replace
        known = self.manifest.notebooks
        self._change(notebooks=tuple(replace(n, **changes) if n.name == name else n for n in known))

    def _change(self, **changes: Any) -> None:
        self.manifest = msgspec.structs.replace(self.manifest, **changes)
        self._write()

    def _write(self) -> None:
        write_document(self._path, self.manifest)

    def _now(self) -> str:
        return self._clock().isoformat(timespec="seconds")


def read_manifest(path: Path) -> Manifest:
    """The manifest in this file; a RunError for a missing, broken or foreign one, or a newer."""
    return read_document(path, Manifest, RunError)
