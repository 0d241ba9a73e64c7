"""The users of the plan's scenarios as the CSV file that these take them from."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

from perflab.studies.api.site import Person


def write_accounts(path: Path, people: Sequence[Person], password: str) -> None:
    """A row a user: e-mail, password, address, token, task; nobody else may read the file.

    An OSError where the disk does not take it.
    """
    private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(private, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["email", "password", "address", "token", "task"])
        for number, person in enumerate(people):
            rows.writerow(
                [person.email, password, address_of(number), person.token, person.task_id]
            )


def address_of(number: int) -> str:
    """Where a user's requests come from, as the proxy says (RFC 2544's range for benchmarks)."""
    return f"198.18.{number // 250}.{number % 250 + 1}"
