"""Seeded databases: loaded once, cloned fresh, cached under everything that matters."""

from __future__ import annotations

import os
from pathlib import Path

import psycopg
import pytest

from perflab import datasets as module
from perflab.datasets import Datasets, cache_folder, shared_buffers_mb, sizes, trim_cache
from perflab.profiles import Profile, load_profiles
from perflab.services import open_services

SMOKE = Path(__file__).parent / "fixtures" / "profiles.toml"


@pytest.fixture(scope="module")
def profile() -> Profile:
    return load_profiles(SMOKE)["smoke"]


def count(conninfo: str, table: str) -> int:
    with psycopg.connect(conninfo) as conn:
        row = conn.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_a_second_start_finds_the_data_and_a_clone_does_not_touch_the_template(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Path] = []
    monkeypatch.setattr(module, "trim_cache", lambda keep=None: kept.append(keep))
    seed = 20_241
    loaded: list[str] = []
    with open_services("embedded", only=["postgres"]) as services:
        first = Datasets(services.postgres, profile, seed)
        first.load(lambda what, done, total: loaded.append(what))
        clone = first.clone("one")
        assert count(clone, "users") == profile.database.users
        with psycopg.connect(clone, autocommit=True) as conn:
            conn.execute("TRUNCATE users CASCADE")
        assert count(first.clone("two"), "users") == profile.database.users
        build = services.postgres.build
    assert loaded
    loaded.clear()
    folder = cache_folder(build, profile, seed)
    assert kept == [folder]
    template = module.cached_template(profile, seed)
    assert template == folder
    with open_services("embedded", postgres_template=template, only=["postgres"]) as services:
        second = Datasets(services.postgres, profile, seed)
        second.load(lambda what, done, total: loaded.append(what))
        assert loaded == []
        assert count(second.clone("again", sizes(profile)[0]), "users") == sizes(profile)[0]
    import shutil

    shutil.rmtree(folder)


def test_close_drops_the_clones(profile: Profile, postgres: object) -> None:
    from perflab.services import Postgres

    assert isinstance(postgres, Postgres)
    datasets = Datasets(postgres, profile, 7)
    conninfo = datasets._create("template1", "perflab_closing")
    datasets.close()
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(conninfo)


def test_the_cache_key_tells_builds_seeds_and_sizes_apart(profile: Profile) -> None:
    quick = load_profiles()["quick"]
    keys = {
        cache_folder("a", profile, 1),
        cache_folder("b", profile, 1),
        cache_folder("a", profile, 2),
        cache_folder("a", quick, 1),
    }
    assert len(keys) == 4


def test_the_cache_drops_what_was_used_longest_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERFLAB_CACHE_DIR", str(tmp_path))
    for age, name in enumerate(("newest", "middle", "oldest")):
        folder = tmp_path / "databases" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(bytes(100))
        os.utime(folder, (1_000_000 - age, 1_000_000 - age))
    assert [p.name for p in trim_cache(limit_bytes=250)] == ["oldest"]
    keep = tmp_path / "databases" / "middle"
    assert [p.name for p in trim_cache(keep=keep, limit_bytes=100)] == ["newest"]


def test_buffers_hold_both_arms_of_the_quick_profile() -> None:
    quick = load_profiles()["quick"]
    users = quick.database.users
    arms = users * (2 * module.TABLE_BYTES_PER_USER + module.INDEX_BYTES_PER_USER)
    assert shared_buffers_mb(quick) * 2**20 >= arms


def test_too_little_disk_is_said_before_anything_is_loaded(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    with open_services("embedded", only=["postgres"]) as services:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 0))
        datasets = Datasets(services.postgres, profile, 99)
        with pytest.raises(module.NotEnoughDisk, match="PERFLAB_CACHE_DIR"):
            datasets.load(lambda what, done, total: None)
