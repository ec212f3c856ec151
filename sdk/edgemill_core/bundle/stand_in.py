"""The words for what was judged without its own runtime, the same wherever they stand."""

from __future__ import annotations


def through(stand_in: str) -> str:
    """How a variant was judged.

    Args:
        stand_in: ``GoldenEntry.stand_in``.
    """
    return f"judged through a stand-in: {stand_in}; to be proved on the box"
