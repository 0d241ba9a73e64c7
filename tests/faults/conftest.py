"""What every kind of fault needs: owners that do not outlive their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from .owners import Owner


@pytest.fixture
def own() -> Iterator[Callable[..., Owner]]:
    owners: list[Owner] = []

    def start(program: str, **environment: str) -> Owner:
        owners.append(Owner(program, **environment))
        return owners[-1]

    yield start
    for owner in owners:
        owner.kill()
        if owner.process.stdout:
            owner.process.stdout.close()
