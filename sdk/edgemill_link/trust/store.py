"""What a box trusts, on its disk: verified again whenever it is read."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from tuf.api.metadata import Root, Snapshot, Timestamp

from edgemill_core.durable import write_bytes
from edgemill_core.errors import TrustError
from edgemill_link.trust.refusal import Refused
from edgemill_link.trust.trusted import Trusted, first_root, with_snapshot, with_timestamp


class TrustStore:
    """A folder with the metadata that was believed last, ``ROLE.json`` each; written before it is acted upon.

    Args:
        folder: made if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, root: bytes) -> Trusted:
        """Trust ``root``, which came with the box, unless one is trusted already; gives what is trusted.

        Raises:
            Refused: it is no root.
        """
        if not self._file(Root.type).is_file():
            first_root(root)
            self.keep(Root.type, root)
        return self.load()

    def load(self) -> Trusted:
        """What was believed last, as far as its keys are still trusted.

        Timestamp and snapshot may have expired; a key that root no longer names has nothing more to say.

        Raises:
            TrustError: there is no root, or it is damaged.
        """
        data = self.read(Root.type)
        if data is None:
            raise TrustError(
                "this box trusts nobody yet",
                expected=f"a root in {self.folder}",
                got="none",
                fix="name the root.json that the release keys were made with, under fleet: trust: in agent.yaml",
            )
        trusted = first_root(data)
        for role, believe in ((Timestamp.type, with_timestamp), (Snapshot.type, _stored_snapshot)):
            stored = self.read(role)
            if stored is None:
                break
            try:
                trusted = believe(trusted, stored)
            except Refused:  # signed by a key that was replaced since
                break
        return trusted

    def read(self, role: str) -> bytes | None:
        """The bytes that were believed last; ``None`` if there are none."""
        with suppress(FileNotFoundError):
            return self._file(role).read_bytes()
        return None

    def keep(self, role: str, data: bytes) -> None:
        """Make ``data`` what was believed last, in one move."""
        write_bytes(self._file(role), data)

    def _file(self, role: str) -> Path:
        return self.folder / f"{role}.json"


def _stored_snapshot(trusted: Trusted, data: bytes) -> Trusted:
    return with_snapshot(trusted, data, stored=True)
