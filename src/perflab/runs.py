"""A run's folder: where each kind of file of one execution of notebooks lies."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from perflab.errors import ParameterError
from perflab.paths import runs_dir

RUN_VARIABLE = "PERFLAB_RUN_DIR"
"""Set by a batch: the folder that its notebooks share."""
SERVICES_VARIABLE = "PERFLAB_SERVICES_FILE"
"""Set by a batch: the file from which its notebooks attach to its servers."""


@dataclass(frozen=True)
class RunFolder:
    """``runs/<utc>-<profile>/`` with a folder for each kind of file."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name, which names the run in every result."""
        return self.path.name

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

    def _folder(self, name: str) -> Path:
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def check_out(out: Path | None) -> None:
    """A ParameterError if the folder asked for holds something already."""
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ParameterError(f"--out {out}: is not empty; name a new folder")


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
