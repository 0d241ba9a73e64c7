"""Arguments of the libraries: one error that names the first that cannot be used."""

from __future__ import annotations

import functools
import math
from collections.abc import AsyncIterator, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from perflab.arguments import check_hook, check_number, is_async


class Refused(Exception):
    """What the checks raise here."""


# --- numbers ---


@pytest.mark.parametrize(
    "value", [0, 1, 0.5, -2, 1e300, Fraction(1, 3), np.float64(0.5), np.float32(1), np.int64(3)]
)
def test_a_finite_number_of_any_kind_is_one(value: Any) -> None:
    check_number("rate", value, Refused)


@pytest.mark.parametrize(
    "value", [True, np.True_, None, "1", b"1", 1j, [1], math.nan, math.inf, -math.inf, 10**400]
)
def test_what_is_no_finite_number_is_refused(value: Any) -> None:
    with pytest.raises(Refused, match=r"^rate=.*: must be a finite number$"):
        check_number("rate", value, Refused)


@pytest.mark.parametrize(
    ("bounds", "within", "beyond", "said"),
    [
        ({"above": 0}, [1e-300, 5], [0, -1], "above 0"),
        ({"above": 0, "most": 1}, [0.5, 1], [0, 1.0001], "above 0 and at most 1"),
        ({"least": 0}, [0, 5], [-1e-300], "from 0 on"),
        ({"least": 0, "most": 1}, [0, 1], [-0.1, 1.1], "from 0 to 1"),
        ({"most": 1}, [-5, 1], [1.1], "of at most 1"),
    ],
)
def test_a_number_outside_its_bounds_is_refused_with_them(
    bounds: dict[str, float], within: list[float], beyond: list[float], said: str
) -> None:
    for value in within:
        check_number("rate", value, Refused, **bounds)
    for value in beyond:
        with pytest.raises(Refused) as caught:
            check_number("rate", value, Refused, **bounds)
        assert str(caught.value) == f"rate={value!r}: must be a finite number {said}"


def test_a_number_of_numpy_is_shown_as_a_number() -> None:
    with pytest.raises(Refused, match=r"^rate=-0\.5: "):
        check_number("rate", np.float64(-0.5), Refused, least=0)


# --- hooks ---


async def coroutine(*_: Any) -> None:
    """A coroutine function."""


async def generator(*_: Any) -> AsyncIterator[int]:
    """An async generator."""
    yield 1


class Coroutine:
    """Its objects are called like coroutine functions."""

    async def __call__(self, *_: Any) -> None:
        """The call."""

    def plain(self) -> None:
        """A method."""

    async def method(self) -> None:
        """An async method."""


class Generator:
    """Its objects are called like async generators."""

    async def __call__(self, *_: Any) -> AsyncIterator[int]:
        """The call."""
        yield 1


def plain(*_: Any) -> Iterator[int]:
    """A function."""
    yield 1


ASYNC = {
    "coroutine function": coroutine,
    "async generator": generator,
    "async method": Coroutine().method,
    "object with an async call": Coroutine(),
    "object whose call is an async generator": Generator(),
}
PLAIN = {
    "function": plain,
    "built-in": print,
    "lambda": lambda *_: None,
    "method": Coroutine().plain,
    "class": Coroutine,
    "partial": functools.partial(plain, 1),
}


@pytest.mark.parametrize("kind", ASYNC)
def test_what_would_have_to_be_awaited_is_no_hook(kind: str) -> None:
    hook: Any = ASYNC[kind]
    for given in (hook, functools.partial(hook, 1), functools.partial(functools.partial(hook), 1)):
        assert is_async(given)
        with pytest.raises(
            Refused, match=r"^on_it is an async function, which nobody awaits; give"
        ):
            check_hook("on_it", given, Refused)


@pytest.mark.parametrize("kind", PLAIN)
def test_what_can_simply_be_called_is_a_hook(kind: str) -> None:
    assert not is_async(PLAIN[kind])
    check_hook("on_it", PLAIN[kind], Refused)


@pytest.mark.parametrize("value", [None, "print", 5])
def test_what_cannot_be_called_is_no_hook(value: Any) -> None:
    assert not is_async(value)
    with pytest.raises(Refused, match=f"^on_it={value!r}: must be a function$"):
        check_hook("on_it", value, Refused)


def test_whoever_asks_says_why_and_what_to_do_instead() -> None:
    with pytest.raises(Refused, match=r"^on_it is an async function, which blocks; use a thread$"):
        check_hook("on_it", coroutine, Refused, "which blocks; use a thread")
