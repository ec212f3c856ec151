"""A drawing with its title and caption."""

from __future__ import annotations

from edgemill_converters.report.markup import Markup, element


def figure(title: str, caption: str, svg: Markup, wide: bool = False) -> Markup:
    """A drawing under its title and caption."""
    text = element("figcaption", element("strong", title), caption)
    return element("figure", text, svg, class_="plot wide" if wide else "plot")
