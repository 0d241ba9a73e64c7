"""What the types of a snapshot's fields say."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from perflab.histogram import Buckets
from perflab.monitor.errors import MonitorError


def _bare(kind: Any) -> Any:
    """The type without ``Annotated`` and ``None``."""
    origin = get_origin(kind)
    if origin is Annotated:
        return _bare(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        rest = [one for one in get_args(kind) if one is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind


def is_number(kind: Any) -> bool:
    """Whether its values are numbers, or numbers and None."""
    bare = _bare(kind)
    if get_origin(bare) in (Union, types.UnionType):
        return all(is_number(one) for one in get_args(bare))
    return bare in (int, float, bool)


def struct_of(kind: Any, where: str) -> type[msgspec.Struct]:
    """The Struct that it is; a MonitorError names ``where`` if it is none."""
    bare = _bare(kind)
    if not (isinstance(bare, type) and issubclass(bare, msgspec.Struct)):
        raise MonitorError(f"{where} is no Struct, as its declaration says")
    return bare


def item_of(kind: Any, containers: tuple[Any, ...], where: str) -> Any:
    """What a sequence or dict holds; a MonitorError names ``where`` if it is none of these."""
    bare = _bare(kind)
    origin, held = get_origin(bare), [one for one in get_args(bare) if one is not Ellipsis]
    if not (isinstance(origin, type) and issubclass(origin, containers) and held):
        raise MonitorError(f"{where} is no {containers[0].__name__}, as its declaration says")
    return held[-1]


def check_buckets(kind: Any, where: str) -> None:
    """A MonitorError if it is no histogram."""
    if _bare(kind) is not Buckets:
        raise MonitorError(f"{where} is no histogram's Buckets, as its declaration says")
