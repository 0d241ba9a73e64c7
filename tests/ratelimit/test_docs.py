"""docs/ratelimit.md: its examples run and print what the page says."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

from event_loop import own_prefix, run
from perflab.ratelimit import DEFAULT_POLICIES, load_policies
from perflab.services import Redis

PAGE = Path(__file__).parents[2] / "docs" / "ratelimit.md"


def test_the_examples_print_what_the_page_says(redis_server: Redis, monkeypatch: Any) -> None:
    from perflab.ratelimit import limiter as module

    monkeypatch.setitem(module.RateLimiter.__init__.__kwdefaults__, "prefix", own_prefix())
    monkeypatch.setitem(module.RateLimiter.__init__.__kwdefaults__, "budget_s", 20.0)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5

    async def scenario() -> None:
        names = {"url": redis_server.url()}
        for block in blocks:
            said = io.StringIO()
            code = compile(block, str(PAGE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            with contextlib.redirect_stdout(said):
                result = eval(code, names)  # noqa: S307 - our own page
                if inspect.isawaitable(result):
                    await result
            assert said.getvalue().splitlines() == re.findall(r"# -> (.+)", block)

    run(scenario())


def test_the_file_of_policies_is_read(tmp_path: Path) -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    path = tmp_path / "limits.toml"
    path.write_text(text)
    (policy,) = load_policies(path)
    assert policy.name == "exports"


def test_the_table_names_the_algorithms_and_the_defaults_that_use_them() -> None:
    rows = re.findall(r"^\| `(\w+)`(?: \(default of (.*?)\))? \|", PAGE.read_text(), re.MULTILINE)
    said = {
        name.lower(): algorithm
        for algorithm, defaults in rows
        for name in re.findall(r"`(\w+)`", defaults)
    }
    assert said == {policy.name: policy.algorithm for policy in DEFAULT_POLICIES}
