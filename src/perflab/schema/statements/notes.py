"""What the note screens ask."""

from __future__ import annotations

import numpy as np
from sqlalchemy import BigInteger, Text, bindparam, literal_column, select
from sqlalchemy.dialects.postgresql import ARRAY

from perflab.schema import vocabulary as words
from perflab.schema.population import Draw, Population
from perflab.schema.query import Query, query
from perflab.schema.statements.draws import owner, wide
from perflab.schema.tables import notes

_user = bindparam("user_id", type_=BigInteger())


def _tags(rng: np.random.Generator, population: Population) -> Draw:
    # one rare tag, one middling tag, or two of the twenty commonest
    chosen, label = wide(
        rng,
        (
            [words.TAGS[int(rng.integers(100, 400))]],
            [words.TAGS[int(rng.integers(20, 100))]],
            [words.TAGS[n] for n in rng.choice(20, 2, replace=False).tolist()],
        ),
    )
    return Draw({"tags": chosen}, label)


QUERIES: tuple[Query, ...] = (
    query(
        "notes_by_tags",
        "notes",
        "Which notes of the workspace carry these tags?",
        select(notes.c.id, notes.c.user_id, notes.c.title, notes.c.updated_at)
        .where(notes.c.tags.bool_op("@>")(bindparam("tags", type_=ARRAY(Text))))
        .order_by(notes.c.updated_at.desc())
        .limit(literal_column("20")),
        ("idx_notes_tags",),
        _tags,
    ),
    query(
        "notes_recent",
        "notes",
        "My notes: the pinned ones, then the newest.",
        select(notes.c.id, notes.c.title, notes.c.pinned, notes.c.updated_at)
        .where(notes.c.user_id == _user)
        .order_by(notes.c.pinned.desc(), notes.c.updated_at.desc())
        .limit(literal_column("20")),
        ("idx_notes_user_recent",),
        owner,
    ),
)
