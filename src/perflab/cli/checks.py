"""What is checked of a batch before anything starts, and before anything slow is imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from perflab.measure.claims import Claims, load_claims
from perflab.parameters import NOTEBOOKS, Common, check
from perflab.profiles import Profile, load_profile
from perflab.runs import check_out


@dataclass(frozen=True)
class Checked:
    """A batch that may start."""

    parameters: Mapping[str, Common]
    """Of each notebook."""
    profile: Profile
    plan: Claims


def check_batch(
    chosen: Sequence[str],
    common: Mapping[str, object],
    given: Mapping[str, Mapping[str, object]],
    out: Path | None,
) -> Checked:
    """The batch as ``run_batch`` takes it, checked; a PerflabError names the first mistake."""
    parameters = {name: check(NOTEBOOKS[name], {**common, **given[name]}) for name in chosen}
    first = parameters[chosen[0]]
    profile = load_profile(first.profile)
    plan = load_claims(Path(first.claims) if first.claims else None)
    check_out(out)
    # imported here: the mistakes above should not wait for what servers need
    from perflab.services.ladder import check_settings

    check_settings(first.services)
    return Checked(parameters, profile, plan)
