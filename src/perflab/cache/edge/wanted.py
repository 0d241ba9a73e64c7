"""What a purge names, checked and in the spelling of every edge."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from perflab.cache.edge.names import edge_prefix, edge_url, header_tag, several


class Wanted(msgspec.Struct, frozen=True):
    """What to drop, in the edge's own spelling."""

    urls: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    everything: bool = False

    def __len__(self) -> int:
        """How many names; everything counts as one."""
        return len(self.urls) + len(self.tags) + len(self.prefixes) + self.everything

    def __or__(self, other: Wanted) -> Wanted:
        if self.everything or other.everything:
            return Wanted(everything=True)
        return Wanted(
            self.urls | other.urls, self.tags | other.tags, self.prefixes | other.prefixes
        )


def wanted(
    *,
    urls: Iterable[str] = (),
    tags: Iterable[str] = (),
    prefixes: Iterable[str] = (),
    everything: bool = False,
) -> Wanted:
    """The arguments of ``Edge.purge`` in the edge's spelling; an EdgeError names a bad one."""
    return Wanted(
        frozenset(map(edge_url, several(urls, "urls"))),
        frozenset(map(header_tag, several(tags, "tags"))),
        frozenset(map(edge_prefix, several(prefixes, "prefixes"))),
        everything,
    )
