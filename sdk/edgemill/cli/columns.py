"""Tables that are read by people and by ``grep``: every cell whole, however narrow the terminal is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from edgemill.cli.output import print_line


def print_columns(head: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = ()) -> None:
    """A table on stdout.

    Args:
        right: heads of the columns that are set flush right.
    """
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    for line in lines:
        cells = [
            cell.rjust(width) if title in right else cell.ljust(width)
            for title, cell, width in zip(head, line, widths, strict=True)
        ]
        print_line("  ".join(cells).rstrip())


def printable(text: str) -> str:
    """``text`` in one line, and without what a terminal would obey: a bundle's names are anybody's words."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))
