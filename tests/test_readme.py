"""What README.md says about the commands is said of all of them."""

from __future__ import annotations

import re
from pathlib import Path

from perflab.cli import app

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_every_command_has_its_exit_codes_listed() -> None:
    listed = dict(re.findall(r"^\| (\d+) \| (.*) \|$", README, re.MULTILINE))
    assert list(listed) == ["0", "1", "2", "130"]
    commands = {one.callback.__name__ for one in app.registered_commands if one.callback}
    named = {word.split()[0] for word in re.findall("`([^`]+)`", listed["0"])}
    assert commands <= named
