"""Where a load runs: in a thread of its own, or in a process that ends with whoever started it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import fields
from typing import IO, Any, Final, TypeVar

import msgspec
import numpy as np

from perflab.load.engine import Engine
from perflab.load.errors import LoadError
from perflab.load.plan import Plan
from perflab.load.samples import LoadSamples

_MODULE: Final = "perflab.load.worker"
_LAST_WORDS_BYTES: Final = 2000
_WATCH_S: Final = 0.25
_SWITCH_S: Final = 0.0001
"""How long another thread may keep the interpreter from the load's; Python's default is 5 ms."""

T = TypeVar("T")


class _Precedence:
    """While any load runs in this process, the interpreter changes threads fast."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loads = 0
        self._before_s = 0.0

    def take(self) -> None:
        """A load begins."""
        with self._lock:
            self._loads += 1
            if self._loads == 1:
                self._before_s = sys.getswitchinterval()
                sys.setswitchinterval(_SWITCH_S)

    def give_back(self) -> None:
        """A load has ended; after the last one all is as it was."""
        with self._lock:
            self._loads -= 1
            if not self._loads:
                sys.setswitchinterval(self._before_s)


_PRECEDENCE: Final = _Precedence()


def in_thread(engine: Engine[T], watch: Callable[[], None] | None = None) -> T:
    """Run a load while this thread waits; an interrupt of this thread stops the load.

    ``watch`` is called a few times a second meanwhile, in this thread.
    """
    ended: list[T | BaseException] = []
    over = threading.Event()

    def run() -> None:
        try:
            ended.append(engine.run())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            ended.append(error)
        over.set()

    thread = threading.Thread(target=run, name="perflab-load", daemon=True)
    _PRECEDENCE.take()
    thread.start()
    try:
        # not join, which up to Python 3.12 takes a thread for ended when interrupted
        while not over.wait(None if watch is None else _WATCH_S):
            if watch is not None:
                watch()
    except BaseException:
        engine.stop()
        over.wait()
        raise
    finally:
        thread.join()
        _PRECEDENCE.give_back()
    (result,) = ended
    if isinstance(result, BaseException):
        raise result
    return result


def in_process(plan: Plan) -> LoadSamples:
    """Carry out a plan in a fresh interpreter; an interrupt of this thread ends that one."""
    argv = [sys.executable, "-P", "-m", _MODULE]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            # a Ctrl-C on the terminal is for this process, which then ends the other one
            start_new_session=True,
        ) as process,
    ):
        try:
            answer = _converse(process, encode_plan(plan))
        except BaseException:
            process.kill()
            raise
        if process.wait() or not answer:
            said.seek(0)
            words = said.read()[-_LAST_WORDS_BYTES:].decode(errors="replace").strip()
            last = words.splitlines()[-1] if words else "without a word"
            raise LoadError(
                f"the generator's process ended with status {process.returncode}: {last}"
            )
    return decode_answer(answer)


def _converse(process: subprocess.Popen[bytes], plan: bytes) -> bytes:
    """Hand over the plan and read the answer; the worker's input stays open as long as it lives."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("a pipe that was asked for is missing")
    try:
        process.stdin.write(len(plan).to_bytes(8, "big") + plan)
        process.stdin.flush()
    except BrokenPipeError:
        return b""  # it ended before; its last words say why
    return process.stdout.read()


# what goes through the pipes


class _Answer(msgspec.Struct):
    """Samples, their arrays as bytes; or a LoadError's message."""

    error: str | None = None
    arrays: dict[str, tuple[str, bytes]] = {}
    facts: dict[str, Any] = {}


def encode_plan(plan: Plan) -> bytes:
    """A plan as bytes."""
    return msgspec.msgpack.encode(plan)


def read_plan(stream: IO[bytes]) -> Plan:
    """The plan at the start of a stream; an ``EOFError`` if the stream ends before."""
    size = int.from_bytes(_exactly(stream, 8), "big")
    return msgspec.msgpack.decode(_exactly(stream, size), type=Plan)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    parts = []
    while size:
        part = stream.read(size)
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def encode_answer(outcome: LoadSamples | LoadError) -> bytes:
    """Samples or an error as bytes."""
    if isinstance(outcome, LoadError):
        return msgspec.msgpack.encode(_Answer(error=str(outcome)))
    answer = _Answer()
    for field in fields(outcome):
        value = getattr(outcome, field.name)
        if isinstance(value, np.ndarray):
            answer.arrays[field.name] = value.dtype.str, value.tobytes()
        else:
            answer.facts[field.name] = value
    return msgspec.msgpack.encode(answer)


def decode_answer(data: bytes) -> LoadSamples:
    """The samples; the LoadError is raised."""
    answer = msgspec.msgpack.decode(data, type=_Answer)
    if answer.error is not None:
        raise LoadError(answer.error)
    columns: dict[str, Any] = {
        name: np.frombuffer(column, dtype=np.dtype(kind)).copy()
        for name, (kind, column) in answer.arrays.items()
    }
    for name, value in answer.facts.items():
        columns[name] = tuple(value) if isinstance(value, list) else value
    return LoadSamples(**columns)
