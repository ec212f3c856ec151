"""Matplotlib figures as inline SVG: no files, no dates, no identifiers that clash on one page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edgemill_converters.report.markup import Markup, element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLED = "titled-"
"""Before the number of an artist's title, as its ``gid``."""
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a949d",
    "axes.labelcolor": "#1b2733",
    "text.color": "#1b2733",
    "xtick.color": "#56646f",
    "ytick.color": "#1b2733",
    "grid.color": "#e4e9ee",
    "axes.axisbelow": True,
}


def inline_svg(name: str, alt: str, draw: Callable[[], Figure], titles: Sequence[str] = ()) -> Markup:
    """Draw a figure and return its SVG element.

    Args:
        name: unique on the page; identifiers inside the drawing depend on it.
        alt: what the drawing shows, in words.
        draw: makes the figure; called with the page's settings, whatever the user's own are.
        titles: what is said when one points at an artist whose ``gid`` is ``TITLED`` and its number in here.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        settings: Any = {**_SETTINGS, "svg.hashsalt": name}
        with matplotlib.rc_context(settings):
            draw().savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return _inside_html(buffer.getvalue(), alt, titles)


def _inside_html(svg: str, alt: str, titles: Sequence[str]) -> Markup:
    """Leave out what belongs to a file of its own: prologue, metadata, a style that would reach the whole page."""
    body = svg[svg.index("<svg") :]
    size = re.search(r'viewBox="([^"]*)"', body)
    assert size is not None
    body = body[body.index(">") + 1 : body.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(rf'<g id="{TITLED}(\d+)"[^>]*>', lambda found: f"<g>{element('title', titles[int(found[1])])}", body)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r"""(style="font: [^'"<>]*)'[^;"<>]*""", r"\1sans-serif", body)
    body = re.sub(r">\s+<", "><", body)
    return element("svg", Markup(body.strip()), viewBox=size[1], role="img", aria_label=alt, stroke_linejoin="round")
