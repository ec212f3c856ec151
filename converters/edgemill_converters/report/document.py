"""What every page has around its body."""

from __future__ import annotations

from edgemill_converters.report.markup import Markup, element, empty_element
from edgemill_converters.report.style import CSS

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What the browser is told to load: nothing. A second lock beside escaping."""


def document(title: str, body: Markup) -> str:
    """A whole page as text, which loads nothing."""
    head = element(
        "head",
        empty_element("meta", charset="utf-8"),
        empty_element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        empty_element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(CSS)),
    )
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en") + "\n"
