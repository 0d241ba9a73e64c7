"""Seeded databases: loaded once, cloned fresh, cached under everything that matters."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import psycopg
import pytest

from perflab import datasets as module
from perflab.datasets import Datasets, shared_buffers_mb, sizes, template_name
from perflab.profiles import Profile, load_profiles
from perflab.services import open_services
from perflab.services.embedded.kept import kept_folder

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
    profile: Profile,
) -> None:
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
    template = template_name(profile, seed)
    with open_services("embedded", template=template, only=["postgres"]) as services:
        second = Datasets(services.postgres, profile, seed)
        second.load(lambda what, done, total: loaded.append(what))
        assert loaded == []
        assert count(second.clone("again", sizes(profile)[0]), "users") == sizes(profile)[0]
    shutil.rmtree(kept_folder(build, template))


def test_the_name_of_kept_data_tells_seeds_and_sizes_apart(profile: Profile) -> None:
    quick = load_profiles()["quick"]
    names = {template_name(profile, 1), template_name(profile, 2), template_name(quick, 1)}
    assert len(names) == 3


def test_buffers_hold_both_arms_of_the_quick_profile() -> None:
    quick = load_profiles()["quick"]
    users = quick.database.users
    arms = users * (2 * module.TABLE_BYTES_PER_USER + module.INDEX_BYTES_PER_USER)
    assert shared_buffers_mb(quick) * 2**20 >= arms


def test_too_little_disk_is_said_before_anything_is_loaded(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    with open_services("embedded", only=["postgres"]) as services:
        monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(10, 10, 0))
        datasets = Datasets(services.postgres, profile, 99)
        with pytest.raises(module.NotEnoughDisk, match="PERFLAB_CACHE_DIR"):
            datasets.load(lambda what, done, total: None)
