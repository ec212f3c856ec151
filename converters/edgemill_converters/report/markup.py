"""HTML as values: text is escaped unless it already is markup, so forgetting to escape is not possible."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def element(name: str, /, *content: str, **attributes: str | int) -> Markup:
    """An element with its content; plain strings are escaped.

    Args:
        name: e.g. ``td``.
        content: markup or text.
        attributes: ``class_`` is written ``class``, ``aria_label`` is written ``aria-label``.
    """
    inner = "".join(_escaped(part) for part in content)
    return Markup(f"<{name}{_attributes(attributes)}>{inner}</{name}>")


def empty_element(name: str, /, **attributes: str | int) -> Markup:
    """An element that has no content and no end tag, e.g. ``img``."""
    return Markup(f"<{name}{_attributes(attributes)}>")


def joined(parts: Iterable[str], separator: str = "") -> Markup:
    """Parts one after the other; plain strings are escaped."""
    return Markup(_escaped(separator).join(_escaped(part) for part in parts))


def _escaped(part: str) -> str:
    return part if isinstance(part, Markup) else escape(part)


def _attributes(attributes: dict[str, str | int]) -> str:
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for name, value in attributes.items()
    )
