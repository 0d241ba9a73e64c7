"""The root of the package's errors: one line that names the input and says what to do."""

from __future__ import annotations


class PerflabError(Exception):
    """A mistake or an outage that a person can act on.

    The message is one line. Notebooks and the command line print that line and no traceback;
    a programming error is never a ``PerflabError``.
    """

    def _render_traceback_(self) -> list[str]:
        """IPython prints these lines instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


class ConfigError(PerflabError):
    """A configuration file holds something unusable: names file, line, key and reason."""


class ParameterError(PerflabError):
    """A parameter is unknown, of the wrong type or out of range."""
