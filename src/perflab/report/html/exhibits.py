"""A page of tables and plots that needs no network and no run's folder."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from perflab.report.html import TEMPLATES
from perflab.report.style import title_of
from perflab.report.tables import Table


def exhibits_page(title: str, lines: Sequence[str], exhibits: Sequence[Table | Figure]) -> str:
    """The page: a heading, lines of text, and the exhibits in their order."""
    return TEMPLATES.get_template("exhibits.html.j2").render(
        title=title, lines=lines, exhibits=[_fragment(one) for one in exhibits]
    )


def _fragment(exhibit: Table | Figure) -> Markup:
    if isinstance(exhibit, Table):
        return Markup(exhibit.gt().as_raw_html(inline_css=False))  # noqa: S704 - cells are escaped
    picture = io.BytesIO()
    exhibit.savefig(picture, format="png", dpi=144)
    encoded = base64.b64encode(picture.getvalue()).decode()
    return Markup('<figure><img src="data:image/png;base64,{}" alt="{}"></figure>').format(
        encoded, escape(title_of(exhibit))
    )
