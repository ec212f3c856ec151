"""A chain that was restored from a backup goes on under another name; each stretch of one name is a segment.

What the box recorded behind the backup, before it was lost, the consumer may have under the old name, at the positions
that the restored box now gives again. So it gives them under a new name, and nothing is taken for what it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgemill_core.ledger.anchor import Anchor

NO_END = (1 << 63) - 1


@dataclass(frozen=True)
class Segment:
    """Records that the consumer knows under one name.

    Attributes:
        id: that name.
        begin: position before its first record.
        until: position of its last one; ``NO_END`` for the one that is written to.
        anchor: says with the box's key that it begins there, and counts nothing; ``None`` for the first.
    """

    id: str
    begin: int = 0
    until: int = NO_END
    anchor: Anchor | None = None

    def place(self, said: int, acknowledged: int) -> int | None:
        """What an acknowledgement of this segment says in positions of the whole chain; ``None``: nothing new.

        Args:
            said: position that the consumer has of this segment.
            acknowledged: position up to which it has everything.
        """
        if acknowledged < self.begin:
            return None  # of what is before it something is still to come
        # What was recorded behind the backup the consumer may have, and this box has not.
        return min(max(said, self.begin), self.until)
