"""The file of users holds passwords and tokens: it is its owner's alone."""

from __future__ import annotations

import csv
from pathlib import Path

from perflab.realtime.tokens import Tokens
from perflab.studies.load.accounts import HUB_COLUMN, write_hub_tokens


def test_it_is_private_also_where_a_file_was_that_others_could_read(tmp_path: Path) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("mine")
    path.chmod(0o666)
    write_hub_tokens(path, Tokens("of-the-tests-and-of-nothing-else-at-all"), 3)
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open(newline="") as file:
        assert [list(row) for row in csv.DictReader(file)] == [[HUB_COLUMN]] * 3
