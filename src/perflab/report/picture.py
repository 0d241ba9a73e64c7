"""A plot as a notebook shows it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """A PNG of twice the screen's resolution, shown at its size in CSS pixels."""

    png: bytes
    width: int
    height: int

    def __repr__(self) -> str:
        return f"<plot, {self.width} x {self.height}>"

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.png, {"width": self.width, "height": self.height}
