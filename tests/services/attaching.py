"""Services used from another process."""

from __future__ import annotations

import subprocess
import sys

import psycopg

from perflab.services import Services

_ATTACH = """
import sys, psycopg
from pathlib import Path
from perflab.services import attach_services
with attach_services(Path(sys.argv[1])) as services:
    with psycopg.connect(services.postgres.conninfo()) as conn:
        conn.execute("CREATE TABLE from_the_other_process ()")
    services.postgres.restart()
    services.redis.restart()
    print(services.postgres.version, services.redis.url(), services.notes)
"""


def attach_and_restart(services: Services) -> None:
    """Another process attaches, leaves a table, and restarts both servers."""
    command = [sys.executable, "-c", _ATTACH, str(services.share())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert services.redis.url() in done.stdout
    with psycopg.connect(services.postgres.conninfo()) as conn:
        assert conn.execute("SELECT count(*) FROM from_the_other_process").fetchone() == (0,)
