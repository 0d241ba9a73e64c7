"""What goes wrong with capacity: an argument that nothing can be computed from."""

from __future__ import annotations

from perflab.errors import PerflabError


class CapacityError(PerflabError):
    """An argument of a formula, a simulation or a cost that cannot be used: names it."""
