"""Typed TOML: a file becomes a struct, or one error that names file, line, key and reason."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from perflab.errors import ConfigError

T = TypeVar("T")

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
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise _explain(path, text, str(error)) from None


def error_at(path: Path, steps: list[str | int], reason: str) -> ConfigError:
    """A ConfigError for the value that ``steps`` lead to, e.g. ``["claim", 3, "target"]``."""
    text = path.read_text(encoding="utf-8")
    key = ".".join(str(step) for step in steps if isinstance(step, str)) or "the file"
    return ConfigError(f"{path}, line {_line_of(text, steps)}, {key}: {reason}")


def _parse(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        return text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None


def _explain(path: Path, text: str, message: str) -> ConfigError:
    """msgspec's ``reason - at `$.a[1].b``` with the line looked up."""
    found = _AT.search(message)
    reason = message[: found.start()] if found else message
    steps: list[str | int] = []
    for step in _STEP.finditer(found["path"] if found else ""):
        if step["key"] is not None:
            steps.append(step["key"])
        elif step["index"] is not None:
            steps.append(int(step["index"]))
        # ``[...]`` is a mapping's value, whose key msgspec does not name
    unknown = _UNKNOWN.search(reason)
    if unknown:
        steps.append(unknown["key"])
    key = ".".join(str(step) for step in steps if isinstance(step, str)) or "the file"
    return ConfigError(f"{path}, line {_line_of(text, steps)}, {key}: {reason}")


def _line_of(text: str, steps: list[str | int]) -> int:
    """The line (from 1) of the deepest step found: its key, else its table's header, else 1.

    Walks the file's headers; ``[[name]]`` tables are counted to find the index asked for.
    """
    lines = text.splitlines()
    start, end, at = 0, len(lines), 1
    names = [step for step in steps if isinstance(step, str)]
    indices = [step for step in steps if isinstance(step, int)]
    prefix: list[str] = []
    for name in names:
        prefix.append(name)
        wanted = indices[0] if indices else 0
        headers = [n for n in range(start, end) if _header(lines[n]) == ".".join(prefix)]
        if headers and wanted < len(headers):
            start = headers[wanted]
            end = next(
                (
                    n
                    for n in range(start + 1, len(lines))
                    if (head := _header(lines[n])) is not None
                    and not head.startswith(".".join(prefix) + ".")
                ),
                len(lines),
            )
            at = start + 1
            continue
        key = re.compile(rf"^\s*\"?{re.escape(name)}\"?\s*=")
        inside = next((n for n in range(start, end) if key.match(lines[n])), None)
        if inside is not None:
            return inside + 1
    return at


def _header(line: str) -> str | None:
    found = _HEADER.match(line)
    return found["name"].replace('"', "") if found else None
