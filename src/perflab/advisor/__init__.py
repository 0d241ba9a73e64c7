"""Which statements are slow, which indexes would help, and whether they do: measured advice.

Needs the extra ``advisor``: PostgreSQL's own parser is under another licence (GPL) than perflab.
"""

from importlib.util import find_spec

from perflab.advisor.errors import AdvisorError

if find_spec("pglast") is None:
    raise AdvisorError(
        "the index advisor reads statements with PostgreSQL's parser, which is not installed"
        " here: pip install 'perflab[advisor]'"
    )
