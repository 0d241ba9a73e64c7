"""Typed TOML: a file becomes a struct, or one error that names file, line, key and reason."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import msgspec

from perflab.errors import ConfigError

T = TypeVar("T")

_DEEPEST = 100
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<key>[^`]+)`")
_STEP = re.compile(r"\.(?P<key>[A-Za-z0-9_-]+)|\[(?P<index>\d+)\]|\[\.\.\.\]")
_HEADER = re.compile(r"^\s*\[\[?\s*(?P<name>[^\]]+?)\s*\]\]?\s*(#.*)?$")


def read_toml(path: Path) -> dict[str, Any]:
    """The file as plain values; a ConfigError where it is missing or no TOML."""
    return _parse(path)[1]


def load_toml(path: Path, type_: type[T]) -> T:
    """The file as an instance of ``type_`` (a msgspec Struct or a mapping of them)."""
    text, raw = _parse(path)
    if get_origin(type_) is dict:
        # One table at a time: msgspec does not say which key of a mapping was at fault.
        value_type = get_args(type_)[1]
        for name, value in raw.items():
            _convert(path, text, value, value_type, [name])
    return _convert(path, text, raw, type_, [])


def convert_at(path: Path, steps: list[str | int], value: Any, type_: type[T]) -> T:
    """A value of the file, at ``steps``, as an instance of ``type_``: for values of a mapping."""
    return _convert(path, path.read_text(encoding="utf-8"), value, type_, steps)


def error_at(path: Path, steps: Sequence[str | int], reason: str) -> ConfigError:
    """A ConfigError for the value that ``steps`` lead to, e.g. ``["claim", 3, "target"]``."""
    text = path.read_text(encoding="utf-8")
    key = ".".join(str(step) for step in steps if isinstance(step, str)) or "the file"
    return ConfigError(f"{path}, line {_line_of(text, steps)}, {key}: {reason}")


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: is not UTF-8 text") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise ConfigError(f"{path}: is nested too deeply") from None
    if _deeper(raw, _DEEPEST):
        raise ConfigError(f"{path}: is nested too deeply, by more than {_DEEPEST} levels")
    return text, raw


def _deeper(raw: dict[str, Any], levels: int) -> bool:
    """Whether values are nested by more levels: who walks them would have to give up."""
    values: list[Any] = [raw]
    for _ in range(levels):
        values = [
            inner
            for value in values
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
        ]
    return bool(values)


def _convert(path: Path, text: str, raw: Any, type_: type[T], above: list[str | int]) -> T:
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise _explain(path, text, str(error), above) from None


def _explain(path: Path, text: str, message: str, above: list[str | int]) -> ConfigError:
    """msgspec's ``reason - at `$.a[1].b``` below the steps ``above``, with the line looked up."""
    found = _AT.search(message)
    reason = message[: found.start()] if found else message
    steps = list(above)
    for step in _STEP.finditer(found["path"] if found else ""):
        if step["key"] is not None:
            steps.append(step["key"])
        elif step["index"] is not None:
            steps.append(int(step["index"]))
        else:
            break  # ``[...]`` is a mapping's value, whose key msgspec does not name
    unknown = _UNKNOWN.search(reason)
    if unknown:
        steps.append(unknown["key"])
    key = ".".join(str(step) for step in steps if isinstance(step, str)) or "the file"
    return ConfigError(f"{path}, line {_line_of(text, steps)}, {key}: {reason}")


def _line_of(text: str, steps: Sequence[str | int]) -> int:
    """The line (from 1) of the deepest step found: its key, else its table's header, else 1.

    Walks the file's headers; ``[[name]]`` tables are counted to find the index asked for.
    """
    lines = _without_long_strings(text)
    start, end, at = 0, len(lines), 1
    prefix: list[str] = []
    for position, name in enumerate(steps):
        if isinstance(name, int):
            continue
        following = steps[position + 1] if position + 1 < len(steps) else 0
        prefix.append(name)
        table = ".".join(prefix)
        headers = [n for n in range(start, end) if _header(lines[n]) == table]
        index = following if isinstance(following, int) else 0
        if index < len(headers):
            start = headers[index]
            end = _end_of(lines, table, start, end)
            at = start + 1
            continue
        inside = _key_line(lines, name, start, end)
        if inside is not None:
            return inside + 1
    return at


def _end_of(lines: list[str], table: str, start: int, end: int) -> int:
    """Where the table that starts at ``start`` ends: before a header that is not below it."""
    for n in range(start + 1, end):
        head = _header(lines[n])
        if head is not None and not head.startswith(table + "."):
            return n
    return end


def _key_line(lines: list[str], name: str, start: int, end: int) -> int | None:
    """The line of ``name =`` in the table at ``start``, not in tables below it."""
    key = re.compile(rf"^\s*[\"']?{re.escape(name)}[\"']?\s*[.=]")
    for n in range(start, end):
        if n > start and _header(lines[n]) is not None:
            return None
        if key.match(lines[n]):
            return n
    return None


def _without_long_strings(text: str) -> list[str]:
    """The lines, emptied where they lie inside a string of three quotes: no headers there."""
    kept = []
    quote: str | None = None
    for line in text.splitlines():
        opened = quote
        for mark in re.findall(r"\"\"\"|'''", line):
            if quote is None:
                quote = mark
            elif quote == mark:
                quote = None
        kept.append(line if opened is None else "")
    return kept


def _header(line: str) -> str | None:
    found = _HEADER.match(line)
    return found["name"].replace('"', "") if found else None
