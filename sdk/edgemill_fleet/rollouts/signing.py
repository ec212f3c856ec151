"""What the steward signs with: the plan key for plans, the online key so that the list does not expire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from securesystemslib.signer import Signer

from edgemill_fleet.releases.holding import held
from edgemill_fleet.releases.planning import Planned, make_plans
from edgemill_fleet.releases.publishing import name_of
from edgemill_fleet.releases.repository import HOLDS, Holds, Repository


@dataclass(frozen=True)
class PlanSigner:
    """Signs in one folder of releases.

    Attributes:
        folder: of the releases.
        signers: the plan key and the online key; none other is needed.
        days: for how long a plan may be begun with.
        trust: a root that the folder must go back to.
        holds: for how long timestamp and snapshot hold.
    """

    folder: Path
    signers: Sequence[Signer]
    days: float = 30
    trust: bytes | None = None
    holds: Holds = HOLDS

    def sign(
        self,
        wanted: Mapping[str, Sequence[str]],
        least: Mapping[str, int],
        now_s: float,
        still: Callable[[], None] = lambda: None,
    ) -> Planned:
        """Sign and write the plan of each device, unless it lies there.

        Args:
            still: asked once nobody else can write there; what it raises keeps everything from being written.

        Raises:
            InputError: a key is missing, or somebody else publishes.
            TrustError: the folder is not what its keys signed.
        """
        return make_plans(self._repository(now_s), wanted, self.signers, self.days, least, still)

    def listed(self, now_s: float) -> frozenset[str]:
        """``NAME/VERSION`` of every release that is listed.

        Raises:
            InputError: it is no folder of releases.
            TrustError: the folder is not what its keys signed.
        """
        return frozenset(name_of(path) for path in self._repository(now_s).releases())

    def renew(self, now_s: float) -> bool:
        """Let timestamp and snapshot hold for longer, once half of their time is over; whether that was so.

        Raises:
            InputError: the online key is missing, or somebody else publishes.
            TrustError: the folder is not what its keys signed.
        """
        repository = self._repository(now_s)
        standing = repository.standing()
        first = min(standing.timestamp.expires, standing.snapshot.expires)
        if not standing.outdated and first - repository.now > self.holds.online / 2:
            return False
        with held(self.folder):
            repository.sign_again(self.signers, self.holds)
        return True

    def _repository(self, now_s: float) -> Repository:
        now = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=now_s)
        return Repository(self.folder, now, self.trust)
