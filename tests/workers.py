"""How tests are dealt out to the workers of pytest-xdist.

Not by its marks and ``--dist loadgroup``: xdist 3.8 writes a group into an attribute that pytest
9.2 does not read any more, and then deals out single tests without a word.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

DOCKER = "docker"
SMOKE_RUN = "smoke run"
TOGETHER = {
    "tests/faults/test_docker_orphans.py": DOCKER,
    "tests/services/docker/test_choice.py": DOCKER,
    "tests/services/docker/test_nginx.py": DOCKER,
    "tests/services/docker/test_servers.py": DOCKER,
    "tests/services/test_nginx.py": DOCKER,
    "tests/test_docker_run.py": DOCKER,
    "tests/test_batch_run.py": SMOKE_RUN,
    "tests/test_compare.py": SMOKE_RUN,
}
"""Files that one worker runs in turn.

Whoever opens services in Docker removes there what dead labs left, for the whole machine, and some
tests leave something on purpose. The smoke run is a fixture of the session, and so of the worker.
"""


def group_of(nodeid: str) -> str:
    """What stays on one worker: a file, or files that have something in common."""
    file = nodeid.partition("::")[0]
    return TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole groups, in the order in which they were collected."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # ships no types

    class Groups(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """A worker inherits a terminal's width, which Rich takes for its own; no test means it."""
    if hasattr(config, "workerinput"):
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The slowest groups first, so that no worker has one left at the end."""
    for item in items:
        _check_group(item)
    if hasattr(config, "workerinput"):
        slow = {group_of(item.nodeid) for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: group_of(item.nodeid) not in slow)


def _check_group(item: pytest.Item) -> None:
    """Refuse a test whose file ought to be named in TOGETHER."""
    smoke = "smoke_run" in getattr(item, "fixturenames", ())
    needed = DOCKER if item.get_closest_marker("docker") else SMOKE_RUN if smoke else ""
    if needed and group_of(item.nodeid) != needed:
        raise pytest.UsageError(f"{item.nodeid}: add its file to {needed!r} in tests/workers.py")
