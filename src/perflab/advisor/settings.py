"""Server settings that a connection has from its start."""

from __future__ import annotations

import re

from psycopg.conninfo import conninfo_to_dict, make_conninfo


def with_settings(conninfo: str, **settings: str) -> str:
    """The same connection with these settings, behind those that it has already."""
    options = [str(conninfo_to_dict(conninfo).get("options") or "")]
    options += [f"-c {name}={_escaped(value)}" for name, value in settings.items()]
    return make_conninfo(conninfo, options=" ".join(filter(None, options)))


def _escaped(value: str) -> str:
    """Blanks end an option, and a backslash takes them back (libpq, "options")."""
    return re.sub(r"([\\\s])", r"\\\1", value)
