"""How many characters are wrong."""

from __future__ import annotations

import numpy as np


def edit_distance(read: str, printed: str) -> int:
    """Least insertions, deletions and substitutions that turn one into the other (Levenshtein 1966).

    One row of the table per character (Wagner and Fischer 1974, "The String-to-String Correction Problem"). Along a
    row each insertion costs 1, so the least over all of them is a running minimum.
    """
    if read == printed:
        return 0
    wanted = np.array([ord(character) for character in printed], np.int64)
    along = np.arange(len(printed) + 1)
    row = along.copy()
    for number, character in enumerate(read, 1):
        kept = np.minimum(row[1:] + 1, row[:-1] + (wanted != ord(character)))
        row = np.minimum.accumulate(np.concatenate(([number], kept)) - along) + along
    return int(row[-1])
