"""The lab's JSON files: written whole, stamped with kind and version, refused in one line."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from perflab.errors import PerflabError

T = TypeVar("T", bound=msgspec.Struct)
V = TypeVar("V")


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write ``content`` to ``path``; a reader sees the old file or the new one, never half.

    Makes the folder, writes to where a link leads, and into a pipe or a device as it is. Raises an
    OSError where the disk does not take it; nothing is left then. Nobody whom ``mode`` leaves out
    may read a file at any time, also where one was there that they could.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(content)
        return
    path = Path(os.path.realpath(path))  # Path.resolve raises where a link leads to itself
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(partial).chmod(mode)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def write_document(path: Path, document: msgspec.Struct) -> None:
    """Write a struct as indented JSON, whole."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")


def decode_json(content: bytes, type_: type[V]) -> V:
    """JSON as an instance of ``type_``; a msgspec.DecodeError where it cannot be read as that."""
    try:
        return msgspec.json.decode(content, type=type_)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None


def read_document(path: Path, type_: type[T], error: type[PerflabError]) -> T:
    """The struct in a file that ``write_document`` wrote.

    ``type_`` has the fields ``format`` and ``version``, whose defaults the file must match.
    Anything else raises ``error`` with the file and the reason in one line.
    """
    wanted = {f.name: f.default for f in msgspec.structs.fields(type_)}
    try:
        raw: Any = decode_json(path.read_bytes(), object)
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror})") from None
    except ValueError as failure:  # msgspec's DecodeError is one, and so is wrong UTF-8
        raise error(f"{path}: not valid JSON ({failure})") from None
    if not isinstance(raw, dict) or raw.get("format") != wanted["format"]:
        raise error(f"{path}: is no {wanted['format']} file")
    if raw.get("version") != wanted["version"]:
        raise error(
            f"{path}: version {raw.get('version')!r}, this perflab reads version "
            f"{wanted['version']}; use the perflab that wrote it"
        )
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as failure:
        raise error(f"{path}: {failure}") from None
