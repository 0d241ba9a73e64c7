"""The command line where nobody reads it: files are written, exit codes stay, nothing is raised."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from perflab.services.ports import free_ports

PERFLAB = str(Path(sys.executable).with_name("perflab"))
SCENARIO = """
title = "nobody is there"
users = 1
duration_s = 0.2
arrival = { kind = "constant", rate_per_s = 50 }
[[flow]]
name = "ask"
request = [{ name = "ask", path = "/" }]
"""


def deserted(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command with a pipe for output whose reader is gone."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as gone:
        return subprocess.run(
            [PERFLAB, *arguments],
            stdout=gone, stderr=subprocess.PIPE, text=True, cwd=cwd, timeout=120, check=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["doctor"], 0), (["alerts", "--prometheus"], 0), (["frob"], 2)],
)
def test_a_reader_who_left_changes_no_exit_code(
    arguments: list[str], code: int, tmp_path: Path
) -> None:
    done = deserted(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_the_files_of_a_load_are_written_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO)
    words = ["load", "s.toml", "--target", f"http://127.0.0.1:{next(free_ports())}"]
    done = deserted(*words, "--json", "left.json", "--html", "left.html", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")
    closed = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-', PERFLAB, *words]
    ended = subprocess.run(
        [*closed, "--json", "closed.json", "--html", "closed.html"],
        cwd=tmp_path, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    for name in ("left", "closed"):
        assert (tmp_path / f"{name}.json").stat().st_size > 500
        assert (tmp_path / f"{name}.html").read_text().rstrip().endswith("</html>")


def test_what_an_encoding_lacks_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SCENARIO)
    words = ["load", "s.toml", "--target", f"http://127.0.0.1:{next(free_ports())}"]
    for file, code in (("s.toml", 1), (os.fsdecode(b"\xff.toml"), 2)):
        words[1] = file
        done = subprocess.run(
            [PERFLAB, *words], env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True, cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code
        assert b"Traceback" not in done.stderr
