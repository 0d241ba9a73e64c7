"""The users of the plan's scenarios as the CSV file that these take them from."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from perflab.files import write_whole
from perflab.realtime.tokens import Tokens
from perflab.studies.api.site import Person

HUB_COLUMN: Final = "hub_token"
_LASTS_S: Final = 86_400.0
"""Of a token for hubs."""


def write_accounts(
    path: Path, people: Sequence[Person], password: str, hub: Tokens | None = None
) -> None:
    """A row a user: e-mail, password, address, token, task, and with ``hub`` a token for hubs.

    Nobody else may read the file. An OSError where the disk does not take it.
    """
    columns = ["email", "password", "address", "token", "task"]
    rows: list[list[str | int]] = [
        [person.email, password, address_of(number), person.token, person.task_id]
        for number, person in enumerate(people)
    ]
    if hub is not None:
        columns.append(HUB_COLUMN)
        for row, person in zip(rows, people, strict=True):
            row.append(hub.sign(str(person.user_id), _LASTS_S))
    _write(path, columns, rows)


def write_hub_tokens(path: Path, hub: Tokens, count: int) -> None:
    """A row a user with a token for hubs; nobody else may read the file."""
    _write(path, [HUB_COLUMN], ([hub.sign(str(user), _LASTS_S)] for user in range(count)))


def _write(path: Path, columns: list[str], rows: Iterable[Sequence[str | int]]) -> None:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(columns)
    writer.writerows(rows)
    write_whole(path, table.getvalue().encode(), mode=0o600)


def address_of(number: int) -> str:
    """Where a user's requests come from, as the proxy says (RFC 2544's range for benchmarks)."""
    return f"198.18.{number // 250}.{number % 250 + 1}"
