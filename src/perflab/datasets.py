"""Seeded databases: loaded once, kept as templates by the server's rung, cloned for every use."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time

import psutil
import psycopg

from perflab.database.own import Databases
from perflab.errors import PerflabError
from perflab.profiles import Profile
from perflab.progress import Step
from perflab.schema.seed import SCHEMA_VERSION, Population, create_schema, finish, load
from perflab.services import Postgres

TABLE_BYTES_PER_USER = 18_000
"""Heap, primary keys and unique e-mail of one seeded user's rows, measured at 50,000 users."""
INDEX_BYTES_PER_USER = 11_000
"""The catalogue's share on top, measured likewise."""


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


def template_name(profile: Profile, seed: int) -> str:
    """Under which name a rung keeps the loaded data of this schema, profile and seed."""
    key = f"{SCHEMA_VERSION} {profile.name} {sizes(profile)} {seed}"
    return f"{profile.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"


class Datasets:
    """The seeded databases of one profile and seed on one server."""

    def __init__(self, postgres: Postgres, profile: Profile, seed: int) -> None:
        self._postgres = postgres
        self._profile = profile
        self._seed = seed
        self._databases = Databases(postgres)

    def population(self, users: int | None = None) -> Population:
        """The facts behind a size's rows: what parameter generators need."""
        return Population(users=users or self._profile.database.users, seed=self._seed)

    def load(self, step: Step) -> float:
        """Make sure that every size's template stands on the server; returns the seconds taken.

        A server whose rung keeps data then keeps it for the next start.
        """
        started = time.perf_counter()
        missing = [u for u in sizes(self._profile) if not self._databases.exists(self._template(u))]
        if missing:
            self._check_disk(sum(missing))
            for users in missing:
                self._load_one(users, step)
            self._postgres.keep(template_name(self._profile, self._seed))
        return time.perf_counter() - started

    def _load_one(self, users: int, step: Step) -> None:
        # under another name until it is whole: an aborted load never passes for a template
        partial = f"{self._template(users)}_loading"
        with psycopg.connect(self._databases.create(partial), autocommit=True) as conn:
            create_schema(conn)
            load(
                conn,
                self.population(users),
                lambda what, done, total: step(f"{users:,} users, {what}", done, total),
            )
            finish(conn, checkpoint=self._postgres.owned)
        self._databases.keep_as(partial, self._template(users))

    def clone(self, label: str, users: int | None = None) -> str:
        """A fresh copy of a template; returns its conninfo. Dropped by ``close``."""
        users = users or self._profile.database.users
        return self._databases.clone(self._template(users), f"{label}_{users}")

    def copy(self, conninfo: str, label: str) -> str:
        """A copy of a database that nobody is connected to; dropped by ``close``."""
        return self._databases.clone(self._databases.label(conninfo), label)

    def empty(self, label: str) -> str:
        """A database without tables, for data made for a purpose; dropped by ``close``."""
        return self._databases.create(label)

    def close(self) -> None:
        """Drop the clones."""
        self._databases.close()

    def _template(self, users: int) -> str:
        return f"template_{users}_{self._seed}"

    def _check_disk(self, users: int) -> None:
        """Room for the load (with its WAL), two clones with indexes and the kept copy."""
        if self._postgres.rung != "embedded":
            return
        needed = users * (4 * TABLE_BYTES_PER_USER + INDEX_BYTES_PER_USER)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if free < needed:
            raise NotEnoughDisk(
                f"profile {self._profile.name} needs {needed / 2**30:.1f} GiB of disk and "
                f"{free / 2**30:.1f} GiB are free; choose a smaller profile or set TMPDIR and "
                "PERFLAB_CACHE_DIR to a larger disk"
            )
