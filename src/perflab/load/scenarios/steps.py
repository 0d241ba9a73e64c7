"""The requests of a scenario, ready to be sent, and how their answers are judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec

from perflab.load.plan import Wire, wire_of
from perflab.load.request import Request, Target
from perflab.load.scenarios.extract import Answer, Extractor
from perflab.load.scenarios.figures import CHECK, GOOD, REFUSED, STATUS
from perflab.load.scenarios.file import RequestStep
from perflab.load.scenarios.template import Template, Tree, Values

NO_VALUES: Final[Values] = {}


class Body:
    """What is sent: nothing, a text or JSON."""

    def __init__(self, step: RequestStep) -> None:
        self._text = None if step.body is None else Template(step.body)
        self._tree = None if step.json is None else Tree(step.json)

    @property
    def names(self) -> set[str]:
        """What must be known to fill it in."""
        return {
            name for part in (self._text, self._tree) if part is not None for name in part.names
        }

    def fill(self, values: Values) -> bytes:
        """The bytes."""
        if self._text is not None:
            return self._text.fill(values).encode()
        return b"" if self._tree is None else msgspec.json.encode(self._tree.fill(values))


class Step:
    """One request of a flow.

    A ``TemplateError``, ``re.error`` or LoadError for a part that cannot be used.
    """

    def __init__(self, number: int, written: RequestStep, refused: frozenset[int]) -> None:
        self.number = number
        """Its place among all steps of the scenario."""
        self.name = written.name
        self.think_s = written.think_s
        self._method = written.method
        self._path = Template(written.path)
        self._fields = [(name, Template(value)) for name, value in written.headers.items()]
        if written.json is not None and "content-type" not in map(str.lower, written.headers):
            self._fields.append(("Content-Type", Template("application/json")))
        self._body = Body(written)
        self._expect = frozenset(written.expect)
        self._refused = refused - self._expect
        self._captures = [(name, Extractor(source)) for name, source in written.capture.items()]
        self._checks = [(Extractor(check), check.equals) for check in written.check]
        sources = [*written.capture.values(), *written.check]
        self.reads_head = any(source.header is not None for source in sources)
        self.reads_body = any(source.header is None for source in sources)
        self._constant: Wire | None = None

    @property
    def names(self) -> set[str]:
        """What must be known to send it."""
        fields = (value.names for _, value in self._fields)
        return self._path.names.union(self._body.names, *fields)

    @property
    def captured(self) -> list[str]:
        """The names of what its answer gives to later ones."""
        return [name for name, _ in self._captures]

    def request(self, values: Values) -> Request:
        """It with values for its names, which are percent-encoded where they are part of a path."""
        whole = self._path.only is not None  # e.g. a Location that was captured
        return Request(
            self._method,
            self._path.fill(values) if whole else self._path.fill(values, _quoted),
            tuple((name, value.fill(values)) for name, value in self._fields),
            self._body.fill(values),
        )

    def wire(self, target: Target, values: Values) -> Wire:
        """Its bytes; a LoadError where a value may not stand where it would."""
        if self._constant is not None:
            return self._constant
        wire = wire_of(target, self.request(values))
        if not self.names:
            self._constant = wire
        return wire

    def judge(self, status: int, answer: Answer, captured: dict[str, Any]) -> int:
        """A code of ``VERDICTS``; what is captured is added to ``captured``."""
        if status in self._refused:
            return REFUSED
        if status not in self._expect if self._expect else status >= 400:
            return STATUS
        for extractor, equals in self._checks:
            found = extractor.find(answer)
            if found is None or (equals is not None and found != equals):
                return CHECK
        for name, extractor in self._captures:
            found = extractor.find(answer)
            if found is None:
                return CHECK
            captured[name] = found
        return GOOD


def _quoted(text: str) -> str:
    return quote(text, safe="")


@dataclass(frozen=True)
class Flow:
    """Requests of one user, one after the other."""

    name: str
    weight: float
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Feeder:
    """Rows of data with their columns already named as requests name them."""

    rows: tuple[Mapping[str, Any], ...]
    pick: str
