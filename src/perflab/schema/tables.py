"""The tables of the productivity application whose queries the lab measures.

As declared here they are the *before* arm: primary keys, a unique e-mail and foreign keys,
which is what a schema has before anyone has looked at a plan. PostgreSQL does not index the
referencing side of a foreign key by itself.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
    }
)

OPEN_STATUSES = ("todo", "in_progress")
TASK_STATUSES = (*OPEN_STATUSES, "done", "cancelled")


def _id() -> Column[int]:
    # BY DEFAULT, not ALWAYS: the seed brings its own ids.
    return Column("id", BigInteger, Identity(always=False), primary_key=True)


def _owner(**options: Any) -> Column[int]:
    return Column("user_id", BigInteger, ForeignKey("users.id"), nullable=False, **options)


def _time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


users = Table(
    "users",
    metadata,
    _id(),
    Column("email", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("plan", Text, nullable=False),
    _time("created_at"),
    UniqueConstraint("email"),
)

profiles = Table(
    "profiles",
    metadata,
    _owner(primary_key=True),
    Column("time_zone", Text, nullable=False),
    Column("locale", Text, nullable=False),
    Column("preferences", JSONB, nullable=False),
    _time("updated_at"),
)

sessions = Table(
    "sessions",
    metadata,
    _id(),
    _owner(),
    Column("token_hash", Text, nullable=False),
    Column("user_agent", Text, nullable=False),
    _time("created_at"),
    _time("last_seen_at"),
    _time("expires_at"),
    _time("revoked_at", nullable=True),
)

projects = Table(
    "projects",
    metadata,
    _id(),
    _owner(),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    _time("created_at"),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    _owner(),
    Column("project_id", BigInteger, ForeignKey("projects.id"), nullable=True),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    _time("due_date", nullable=True),
    _time("reminder_at", nullable=True),
    _time("completed_at", nullable=True),
    _time("created_at"),
    _time("updated_at"),
)

notes = Table(
    "notes",
    metadata,
    _id(),
    _owner(),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("tags", ARRAY(Text), nullable=False),
    Column("pinned", Boolean, nullable=False),
    _time("created_at"),
    _time("updated_at"),
)

habits = Table(
    "habits",
    metadata,
    _id(),
    _owner(),
    Column("name", Text, nullable=False),
    Column("cadence", Text, nullable=False),
    Column("reminder_minute", SmallInteger, nullable=True),
    _time("created_at"),
    _time("archived_at", nullable=True),
)

habit_entries = Table(
    "habit_entries",
    metadata,
    _id(),
    Column("habit_id", BigInteger, ForeignKey("habits.id"), nullable=False),
    Column("entry_date", Date, nullable=False),
    Column("amount", SmallInteger, nullable=False),
)

goals = Table(
    "goals",
    metadata,
    _id(),
    _owner(),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("progress", SmallInteger, nullable=False),
    Column("target_date", Date, nullable=False),
    _time("created_at"),
)

notifications = Table(
    "notifications",
    metadata,
    _id(),
    _owner(),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    _time("created_at"),
    _time("read_at", nullable=True),
)

analytics_events = Table(
    "analytics_events",
    metadata,
    _id(),
    _owner(),
    Column("event_type", Text, nullable=False),
    _time("occurred_at"),
    Column("payload", JSONB, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("outcome", JSONB, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=text("now()")),
)
"""Written by :meth:`perflab.database.pool.Pool.write`; empty after loading."""
