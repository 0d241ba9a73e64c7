"""Seeded databases: loaded once, kept as templates in a cache, cloned for every use."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

import psutil
import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from perflab.errors import PerflabError
from perflab.paths import cache_dir
from perflab.profiles import Profile
from perflab.progress import Step
from perflab.schema.seed import SCHEMA_VERSION, Population, create_schema, finish, load
from perflab.services import Postgres, postgres_build

TABLE_BYTES_PER_USER = 18_000
"""Heap, primary keys and unique e-mail of one seeded user's rows, measured at 50,000 users."""
INDEX_BYTES_PER_USER = 11_000
"""The catalogue's share on top, measured likewise."""
CACHE_LIMIT_BYTES = 20 * 2**30
"""Cached data folders beyond this in all are deleted, the least recently used first."""
_FILE_COPY_BYTES = 64 * 2**20
"""Above this PostgreSQL 15+ copies files instead of logging every page of a clone."""


class NotEnoughDisk(PerflabError):
    """The profile's databases do not fit on the disk."""


def shared_buffers_mb(profile: Profile) -> int:
    """Buffers that hold both arms with a third to spare, at most two fifths of the memory."""
    users = profile.database.users
    arms = users * (2 * TABLE_BYTES_PER_USER + INDEX_BYTES_PER_USER)
    most = psutil.virtual_memory().total * 2 // 5
    return max(256, min(arms * 4 // 3, most) // 2**20)


def sizes(profile: Profile) -> tuple[int, ...]:
    """The user counts that a profile loads, smallest first."""
    return (*sorted(profile.database.scaling_users), profile.database.users)


def cache_folder(build: str, profile: Profile, seed: int) -> Path:
    """Where the loaded data folder of this server build, schema, profile and seed is kept."""
    key = f"{build} {SCHEMA_VERSION} {profile.name} {sizes(profile)} {seed}"
    return databases_dir() / hashlib.sha256(key.encode()).hexdigest()[:20]


def cached_template(profile: Profile, seed: int) -> Path | None:
    """The data folder that an earlier run kept for this profile and seed, if there is one."""
    build = postgres_build()
    folder = cache_folder(build, profile, seed) if build else None
    if folder is None or not folder.is_dir():
        return None
    os.utime(folder)  # what was used last is deleted last
    return folder


def databases_dir() -> Path:
    """The cache of loaded data folders."""
    return cache_dir() / "databases"


def trim_cache(keep: Path | None = None, limit_bytes: int = CACHE_LIMIT_BYTES) -> list[Path]:
    """Delete the least recently used data folders until the rest fits; returns the deleted."""
    if not databases_dir().is_dir():
        return []
    entries = sorted(
        (p for p in databases_dir().iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime
    )
    used = {entry: folder_bytes(entry) for entry in entries}
    deleted = []
    for entry in entries:
        if sum(used.values()) <= limit_bytes:
            break
        if entry != keep:
            shutil.rmtree(entry, ignore_errors=True)
            del used[entry]
            deleted.append(entry)
    return deleted


def folder_bytes(folder: Path) -> int:
    """The bytes of a folder's files."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


class Datasets:
    """The seeded databases of one profile and seed on one server."""

    def __init__(self, postgres: Postgres, profile: Profile, seed: int) -> None:
        self._postgres = postgres
        self._profile = profile
        self._seed = seed
        self._clones: list[str] = []

    def population(self, users: int | None = None) -> Population:
        """The facts behind a size's rows: what parameter generators need."""
        return Population(users=users or self._profile.database.users, seed=self._seed)

    def load(self, step: Step) -> float:
        """Make sure that every size's template stands on the server; returns the seconds taken.

        On an embedded server the data folder is then kept in the cache for the next start.
        """
        started = time.perf_counter()
        missing = [
            users
            for users in sizes(self._profile)
            if not self._exists(_template(users, self._seed))
        ]
        if missing:
            self._check_disk(sum(missing))
            for users in missing:
                self._load_one(users, step)
            self._keep()
        return time.perf_counter() - started

    def _load_one(self, users: int, step: Step) -> None:
        # under another name until it is whole: an aborted load never passes for a template
        partial = f"{_template(users, self._seed)}_loading"
        with self._admin() as admin:
            admin.execute(_ddl("DROP DATABASE IF EXISTS {} WITH (FORCE)", partial))
            admin.execute(_ddl("CREATE DATABASE {}", partial))
        with psycopg.connect(self._postgres.conninfo(partial), autocommit=True) as conn:
            create_schema(conn)
            load(
                conn,
                self.population(users),
                lambda what, done, total: step(f"{users:,} users, {what}", done, total),
            )
            finish(conn)
        with self._admin() as admin:
            admin.execute(
                sql.SQL("ALTER DATABASE {} RENAME TO {}").format(
                    sql.Identifier(partial), sql.Identifier(_template(users, self._seed))
                )
            )

    def clone(self, label: str, users: int | None = None) -> str:
        """A fresh copy of a template; returns its conninfo. Dropped by ``close``."""
        users = users or self._profile.database.users
        return self._create(_template(users, self._seed), f"perflab_{label}_{users}")

    def _create(self, template: str, name: str) -> str:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
            sql.Identifier(name), sql.Identifier(template)
        )
        with self._admin() as admin:
            row = admin.execute("SELECT pg_database_size(%s)", [template]).fetchone()
            if self._postgres.version_num >= 150000 and row and row[0] > _FILE_COPY_BYTES:
                statement += sql.SQL(" STRATEGY = FILE_COPY")
            admin.execute(_ddl("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))
            admin.execute(statement)
        if name not in self._clones:
            self._clones.append(name)
        return self._postgres.conninfo(name)

    def copy(self, conninfo: str, label: str) -> str:
        """A copy of a database that nobody is connected to; dropped by ``close``."""
        return self._create(str(conninfo_to_dict(conninfo)["dbname"]), f"perflab_{label}")

    def close(self) -> None:
        """Drop the clones."""
        with self._admin() as admin:
            for name in self._clones:
                admin.execute(_ddl("DROP DATABASE IF EXISTS {} WITH (FORCE)", name))
        self._clones.clear()

    def _keep(self) -> None:
        if self._postgres.rung == "embedded":
            folder = cache_folder(self._postgres.build, self._profile, self._seed)
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._postgres.snapshot(folder)
            trim_cache(keep=folder)

    def _exists(self, name: str) -> bool:
        with self._admin() as admin:
            found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
        return found is not None

    def _check_disk(self, users: int) -> None:
        """Room for the load (with its WAL), two clones with indexes and the cached copy."""
        needed = users * (4 * TABLE_BYTES_PER_USER + INDEX_BYTES_PER_USER)
        if self._postgres.rung != "embedded":
            return
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < needed:
            raise NotEnoughDisk(
                f"profile {self._profile.name} needs {needed / 2**30:.1f} GiB of disk and "
                f"{free / 2**30:.1f} GiB are free; choose a smaller profile or set TMPDIR and "
                "PERFLAB_CACHE_DIR to a larger disk"
            )

    @contextmanager
    def _admin(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._postgres.conninfo(), autocommit=True) as conn:
            yield conn


def _template(users: int, seed: int) -> str:
    return f"perflab_template_{users}_{seed}"


def _ddl(template: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(template).format(sql.Identifier(name))
