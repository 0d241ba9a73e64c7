"""The cache of loaded data folders: told apart by build and name, the oldest dropped first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from perflab.services.embedded.kept import find_kept, kept_folder, trim_cache


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_builds_and_names_have_folders_of_their_own() -> None:
    assert len({kept_folder(build, name) for build in "ab" for name in ("x", "y")}) == 4


def test_what_was_never_kept_is_not_found() -> None:
    assert find_kept("a", "x") is None
    assert find_kept("a", "") is None


def test_the_cache_drops_what_was_used_longest_ago(cache: Path) -> None:
    for age, name in enumerate(("newest", "middle", "oldest")):
        folder = cache / "databases" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(100))
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    assert [p.name for p in trim_cache(limit_bytes=250)] == ["oldest"]
    keep = cache / "databases" / "middle"
    assert [p.name for p in trim_cache(keep=keep, limit_bytes=100)] == ["newest"]


def test_finding_a_folder_marks_it_as_used() -> None:
    folder = kept_folder("a", "x")
    folder.mkdir(parents=True)
    os.utime(folder, (1_000_000, 1_000_000))
    assert find_kept("a", "x") == folder
    assert folder.stat().st_mtime > 1_000_000
