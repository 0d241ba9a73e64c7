"""The catalogue: every index of the *after* arm, which query it serves and why it is so."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import msgspec

from perflab.errors import ParameterError

Kind = Literal["btree", "sort", "covering", "partial", "expression", "gin", "brin", "hash"]
"""What the index shows: a plain B-tree, one that saves a sort, one that saves the heap visit,
one over some of the rows, one over an expression, or another access method."""


class IndexSpec(msgspec.Struct, frozen=True):
    """One index of the catalogue."""

    name: str
    table: str
    kind: Kind
    on: str
    """Everything after ``ON table``: method, columns, INCLUDE, WITH, WHERE."""
    serves: str
    """The query (a name of ``perflab.schema.queries``) that it was made for."""
    why: str
    """Why these columns in this order, or why this kind."""
    claim_plan: bool = False
    """One of the four indexes the plan names."""
    unique: bool = False

    @property
    def path(self) -> str:
        """The name with the schema of its table, where ``table`` has one: there the index is."""
        schema = self.table.rpartition(".")[0]
        return f"{schema}.{self.name}" if schema else self.name

    @property
    def ddl(self) -> str:
        """The statement as one would write it in a migration."""
        return self.create_sql()

    def create_sql(self, concurrently: bool = True) -> str:
        """CREATE INDEX, by default without blocking writers."""
        words = [
            "CREATE",
            "UNIQUE INDEX" if self.unique else "INDEX",
            "CONCURRENTLY" if concurrently else "",
            self.name,
            "ON",
            self.table,
            self.on,
        ]
        return " ".join(word for word in words if word)


CATALOGUE: tuple[IndexSpec, ...] = (
    # --- tasks --------------------------------------------------------------------------
    IndexSpec(
        "idx_tasks_user_status",
        "tasks",
        "btree",
        "(user_id, status)",
        "tasks_by_status",
        "Both columns are compared with =; user_id first, since every task query names the user "
        "and only some name a status.",
        claim_plan=True,
    ),
    IndexSpec(
        "idx_tasks_user_due_date",
        "tasks",
        "btree",
        "(user_id, due_date)",
        "tasks_due_between",
        "Equality (user) before range (due date): the range is then one stretch of the index.",
        claim_plan=True,
    ),
    IndexSpec(
        "idx_tasks_user_feed",
        "tasks",
        "sort",
        "(user_id, created_at DESC, id DESC)",
        "tasks_feed",
        "After the user, exactly the ORDER BY of the feed; id breaks ties, so that a page can "
        "begin where the last one ended.",
    ),
    IndexSpec(
        "idx_tasks_open_priority",
        "tasks",
        "partial",
        "(user_id, priority DESC, due_date) WHERE status IN ('todo', 'in_progress')",
        "tasks_focus",
        "Only open tasks, a fifth of the table, in the order in which the screen shows them: "
        "the first ten need no sort.",
    ),
    IndexSpec(
        "idx_tasks_user_title",
        "tasks",
        "expression",
        "(user_id, lower(title) text_pattern_ops)",
        "tasks_title_prefix",
        "LIKE 'abc%' is a range of the lower-cased title within one user; text_pattern_ops makes "
        "it one under any collation.",
    ),
    IndexSpec(
        "idx_tasks_project_status",
        "tasks",
        "covering",
        "(project_id) INCLUDE (status)",
        "project_progress",
        "Found by project; the status to be counted rides along, so the heap is not visited.",
    ),
    IndexSpec(
        "idx_tasks_user_completed",
        "tasks",
        "partial",
        "(user_id, completed_at) WHERE completed_at IS NOT NULL",
        "completion_trend",
        "Equality before range; tasks that were never completed cannot be in the answer.",
    ),
    IndexSpec(
        "idx_tasks_reminders",
        "tasks",
        "partial",
        "(reminder_at) WHERE status IN ('todo', 'in_progress') AND reminder_at IS NOT NULL",
        "reminders_due",
        "The worker asks for a minute over all users; a few rows in a hundred have a "
        "reminder that can still fire.",
    ),
    IndexSpec(
        "idx_tasks_created",
        "tasks",
        "sort",
        "(created_at, id)",
        "export_page",
        "The export's ORDER BY; (created_at, id) > (last seen) is a position in this index.",
    ),
    # --- notes --------------------------------------------------------------------------
    IndexSpec(
        "idx_notes_tags",
        "notes",
        "gin",
        "USING gin (tags)",
        "notes_by_tags",
        "One entry for each tag with the notes that carry it; two tags are an intersection.",
        claim_plan=True,
    ),
    IndexSpec(
        "idx_notes_user_recent",
        "notes",
        "sort",
        "(user_id, pinned DESC, updated_at DESC)",
        "notes_recent",
        "After the user, the order of the list: pinned notes, then the newest.",
    ),
    # --- habits -------------------------------------------------------------------------
    IndexSpec(
        "idx_habit_entries_habit_date",
        "habit_entries",
        "btree",
        "(habit_id, entry_date)",
        "habit_history",
        "Equality (habit) before range and order (date).",
        claim_plan=True,
    ),
    IndexSpec(
        "idx_habit_entries_date_brin",
        "habit_entries",
        "brin",
        "USING brin (entry_date) WITH (pages_per_range = 32)",
        "checkins_per_day",
        "Entries arrive in the order of their dates, so a few bytes for every 32 pages tell "
        "which pages can hold a week.",
    ),
    IndexSpec(
        "idx_habits_user_active",
        "habits",
        "partial",
        "(user_id) INCLUDE (name) WHERE archived_at IS NULL",
        "habits_today",
        "The habits on today's screen; archived ones are not shown, the name is all it needs.",
    ),
    IndexSpec(
        "idx_habits_reminder",
        "habits",
        "partial",
        "(reminder_minute) WHERE archived_at IS NULL AND reminder_minute IS NOT NULL",
        "habit_reminders_due",
        "The worker asks by minute of the day; archived habits and those without a reminder "
        "stay out.",
    ),
    # --- analytics ----------------------------------------------------------------------
    IndexSpec(
        "idx_events_user_time",
        "analytics_events",
        "covering",
        "(user_id, occurred_at) INCLUDE (event_type)",
        "user_activity",
        "Equality before range; the type to be counted rides along, so the wide rows with their "
        "payload are not visited.",
    ),
    IndexSpec(
        "idx_events_type_time",
        "analytics_events",
        "btree",
        "(event_type, occurred_at)",
        "events_per_day",
        "Equality before range, and the count needs no other column.",
    ),
    IndexSpec(
        "idx_events_time_brin",
        "analytics_events",
        "brin",
        "USING brin (occurred_at) WITH (pages_per_range = 4)",
        "active_users",
        "Events arrive in order of time: the newest days are the last pages. Kilobytes where a "
        "B-tree costs megabytes; ranges of 4 pages also beat the skip scan of PostgreSQL 18 "
        "over (event_type, occurred_at).",
    ),
    IndexSpec(
        "idx_events_payload",
        "analytics_events",
        "gin",
        "USING gin (payload jsonb_path_ops)",
        "experiment_exposure",
        "@> only: jsonb_path_ops hashes whole paths, so it is smaller and quicker than the "
        "default operator class.",
    ),
    # --- people -------------------------------------------------------------------------
    IndexSpec(
        "idx_users_email_lower",
        "users",
        "expression",
        "(lower(email))",
        "sign_in",
        "People type their address in any case; the unique index on email cannot answer lower().",
    ),
    IndexSpec(
        "idx_sessions_user_recent",
        "sessions",
        "sort",
        "(user_id, created_at DESC)",
        "sign_in",
        "The last session of one user is the first entry under that user.",
    ),
    IndexSpec(
        "idx_sessions_token",
        "sessions",
        "hash",
        "USING hash (token_hash)",
        "session_by_token",
        "Only ever compared with =; a hash index keeps 4 bytes of a 64-character token.",
    ),
    IndexSpec(
        "idx_sessions_expiry",
        "sessions",
        "partial",
        "(expires_at) WHERE revoked_at IS NULL",
        "sessions_expired",
        "The sweeper takes the oldest expiries first; revoked sessions are no business of its.",
    ),
    IndexSpec(
        "idx_notifications_unread",
        "notifications",
        "partial",
        "(user_id, created_at DESC) WHERE read_at IS NULL",
        "unread_badge",
        "Unread ones only, about an eighth of the table; counting them is one short stretch.",
    ),
    IndexSpec(
        "idx_notifications_read",
        "notifications",
        "partial",
        "(read_at) WHERE read_at IS NOT NULL",
        "notifications_to_purge",
        "The clean-up takes the longest-read first; unread ones are never purged.",
    ),
    IndexSpec(
        "idx_projects_user_active",
        "projects",
        "partial",
        "(user_id) WHERE status = 'active'",
        "project_progress",
        "The dashboard starts from a user's projects and leaves archived ones out.",
    ),
    IndexSpec(
        "idx_goals_active",
        "goals",
        "partial",
        "(user_id, target_date) WHERE status = 'active'",
        "goals_active",
        "Active goals of one user in the order of their dates.",
    ),
)


def select_indexes(without: Collection[str] = ()) -> tuple[IndexSpec, ...]:
    """The catalogue without some of its indexes; a ParameterError names an unknown one."""
    known = [spec.name for spec in CATALOGUE]
    for name in without:
        if name not in known:
            raise ParameterError(
                f"index {name!r} is not in the catalogue; known: {', '.join(known)}"
            )
    return tuple(spec for spec in CATALOGUE if spec.name not in without)
