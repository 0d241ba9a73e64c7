"""Which of a workload's comparisons each claim is about, checked against the claims file."""

from __future__ import annotations

from collections.abc import Collection

from perflab.workload.file import Workload


def check_claims(workload: Workload, ids: Collection[str], claims_path: str) -> None:
    """A ConfigError for the first mapped claim that is none of ``ids``.

    ``claims_path`` is the run's claims file, empty where it has none of its own.
    """
    for number, id_ in enumerate(workload.claims):
        if id_ not in ids:
            reason = (
                f"{id_!r} is no claim of {claims_path}; add it there or correct the id"
                if claims_path
                else f"{id_!r} needs a claims file of your own; name it with --claims FILE"
            )
            raise workload.error(("claim", number, "id"), reason)
