"""One whole run at the smallest sizes, as a user starts it, for all the tests that read one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROFILES = Path(__file__).parent / "fixtures" / "profiles.toml"


@dataclass(frozen=True)
class SmokeRun:
    """A run that has ended, and what was seen of it on its way."""

    exit_code: int
    output: str
    run: Path
    passwords: frozenset[str]
    left: tuple[Path, ...]


def perflab() -> str:
    return str(Path(sys.executable).with_name("perflab"))


def environment(temporary: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(temporary), "PERFLAB_PROFILES": str(PROFILES)}


def passwords_in(temporary: Path) -> set[str]:
    found: set[str] = set()
    for share in temporary.glob("perflab-*/share.json"):
        try:
            text = share.read_text()
        except OSError:
            continue
        found.update(re.findall(r'"password":\s*"([^"]+)"', text))
    return found


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmokeRun]:
    """``perflab run`` of all the notebooks that it runs by default; only to be read."""
    temporary = Path(tempfile.mkdtemp(prefix="batch-"))
    temporary.chmod(0o755)
    run = tmp_path_factory.mktemp("runs") / "smoke"
    passwords: set[str] = set()
    with (temporary / "log").open("w+") as log:
        process = subprocess.Popen(
            [perflab(), "run", "--profile", "smoke", "--services", "embedded", "--out", str(run)],
            env=environment(temporary),
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        while process.poll() is None:
            passwords |= passwords_in(temporary)
            time.sleep(0.05)
        log.seek(0)
        output = log.read()
    left = tuple(temporary.glob("perflab-*"))
    yield SmokeRun(process.returncode, output, run, frozenset(passwords), left)
    shutil.rmtree(temporary, ignore_errors=True)
