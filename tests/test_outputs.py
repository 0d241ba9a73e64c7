"""A file that cannot be written is told by its option, before anything long begins."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perflab.cli.outputs import check_output
from perflab.errors import ParameterError


def test_what_can_be_written_is_let_through(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    os.mkfifo(tmp_path / "pipe")
    for name in ("old", "new", "pipe"):
        check_output("--out", tmp_path / name)
    check_output("--out", None)
    check_output("--out", tmp_path / "a" / "b" / "new", makes_folder=True)
    check_output("--out", Path("new"), makes_folder=True)


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path, makes_folder, reason in (
        (tmp_path, False, "is a folder"),
        (tmp_path / "a" / "new", False, "there is no folder"),
        (file / "new", True, "there is no folder"),
        (file / "a" / "new", True, "there is no folder"),
        (tmp_path / ("n" * 300), False, "cannot be written"),
    ):
        with pytest.raises(ParameterError, match=f"--out {path}: {reason}"):
            check_output("--out", path, makes_folder=makes_folder)
