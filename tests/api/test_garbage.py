"""The garbage collector while a process serves, and after."""

from __future__ import annotations

import gc

import pytest

from perflab.api.garbage import YOUNG, rarely_collected


def test_it_is_as_before_when_serving_ends_however_it_ends() -> None:
    before = gc.get_threshold(), gc.get_freeze_count()

    def serve() -> None:
        with rarely_collected():
            assert gc.get_threshold() == (YOUNG, *before[0][1:])
            assert gc.get_freeze_count() > before[1]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve()
    assert (gc.get_threshold(), gc.get_freeze_count()) == before
