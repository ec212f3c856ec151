"""What people and programs may do: four roles, each of which may what the ones before it may."""

from __future__ import annotations

from enum import Enum


class Role(str, Enum):
    """Of a token."""

    VIEWER = "viewer"
    """Sees devices, releases, rollouts and figures."""
    OPERATOR = "operator"
    """Lets boxes in, names and groups them; pauses, resumes and aborts rollouts."""
    RELEASER = "releaser"
    """Proposes and approves releases and rollouts."""
    ADMIN = "admin"
    """Gives tokens, revokes boxes, reads the audit log."""

    def may(self, needed: Role) -> bool:
        """Whether this role may what takes ``needed``."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
