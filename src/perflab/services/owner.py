"""Who a thing outside this machine's file system belongs to: a mark that outlives its maker."""

from __future__ import annotations

import os
from typing import Self

import msgspec

from perflab.services import warden

_LEAD = "perflab "
_UNKNOWN = "unknown"


class Mark(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a lab writes on its databases and keys on a server of the user's."""

    prefix: str
    """With what the names of the lab's own things begin."""
    machine: str
    pid: int
    started: int

    @classmethod
    def of_this_process(cls, prefix: str) -> Self:
        """The mark for what this process is about to make."""
        pid = os.getpid()
        return cls(prefix, warden.machine(), pid, warden.started(pid))

    @classmethod
    def read(cls, text: str | bytes | None) -> Self | None:
        """The mark that somebody left, None where it is none."""
        if isinstance(text, bytes):
            text = text.decode(errors="replace")
        if text is None or not text.startswith(_LEAD):
            return None
        try:
            return msgspec.json.decode(text[len(_LEAD) :], type=cls)
        except msgspec.DecodeError:
            return None

    @property
    def text(self) -> str:
        """As it is written on the server."""
        return _LEAD + msgspec.json.encode(self).decode()

    @property
    def is_own(self) -> bool:
        """Whether this very process made it; a forked child did not."""
        return self.pid == os.getpid() and self.machine == warden.machine()

    @property
    def has_ended(self) -> bool:
        """Whether its process is known to be dead: only the machine it ran on can know that."""
        if self.machine == _UNKNOWN or self.machine != warden.machine():
            return False
        return not (warden.is_alive(self.pid) and warden.started(self.pid) == self.started)
