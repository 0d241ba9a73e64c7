"""HTTP dates (RFC 9110 §5.6.7)."""

from __future__ import annotations

import datetime
import re
from email.utils import formatdate
from typing import Final

_DAYS: Final = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_LONG_DAYS: Final = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
                  "Dec")  # fmt: skip
_MONTH: Final = f"(?P<month>{'|'.join(_MONTHS)})"
_TIME: Final = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        rf"(?:{_DAYS}), (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT",
        rf"(?:{_LONG_DAYS}), (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT",
        rf"(?:{_DAYS}) {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})",
    )
)
"""IMF-fixdate, and the obsolete forms of RFC 850 and of C's asctime, which must be read too."""


def format_date(at: float) -> str:
    """Unix seconds as an IMF-fixdate, fractions cut off."""
    return formatdate(at // 1, usegmt=True)


def parse_date(text: str, now: float) -> float | None:
    """Unix seconds; None where the text is no HTTP date.

    ``now`` settles the century of a year with two digits: one that seems more than 50 years
    ahead is in the past.
    """
    for form in _FORMS:
        found = form.fullmatch(text)
        if found is not None:
            break
    else:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        this_year = datetime.datetime.fromtimestamp(now, datetime.UTC).year
        year = this_year + (year - this_year) % 100
        year -= 100 if year > this_year + 50 else 0
    second = min(int(found["second"]), 59) if found["second"] == "60" else int(found["second"])
    try:
        return datetime.datetime(
            year,
            _MONTHS.index(found["month"]) + 1,
            int(found["day"]),
            int(found["hour"]),
            int(found["minute"]),
            second,
            tzinfo=datetime.UTC,
        ).timestamp()
    except ValueError:
        return None
