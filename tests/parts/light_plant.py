"""A plant without weight: the fleet manager's parts in threads of the test, and boxes that run no engine.

What travels is all real: TLS, certificates, a mosquitto, signed metadata and plans, ledgers and their acknowledgements.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uvicorn
from agent_box import wait_until
from fleet_story import Fleet

from edgemill_agent.clock import Clock
from edgemill_agent.ledger import LedgerView
from edgemill_agent.ledger.store import Entry, open_ledger
from edgemill_core.ledger import Kind
from edgemill_fleet.founding import ONLINE, PLANS
from edgemill_fleet.identity.authority import Authority
from edgemill_fleet.intake.consumer import Intake
from edgemill_fleet.releases.keys import KEY, signer_of
from edgemill_fleet.rollouts.signing import PlanSigner
from edgemill_fleet.rollouts.steward import Steward
from edgemill_fleet.serving.tls import server_context
from edgemill_fleet.serving.web_process import configure
from edgemill_fleet.store.database import open_database
from edgemill_fleet.web.app import make_app
from edgemill_fleet.web.manager import Manager
from edgemill_link.broker_settings import BrokerSettings
from edgemill_link.enrolling import enrol
from edgemill_link.enrolment import RELEASES, read_code
from edgemill_link.identity import utc_now
from edgemill_link.publisher import Publisher
from edgemill_link.trust.client import refresh, trusted_now
from edgemill_link.trust.plan import MOST_PLAN_BYTES, read_plan
from edgemill_link.trust.refusal import Attack, Refused
from edgemill_link.trust.source import HttpSource
from edgemill_link.trust.store import TrustStore


class LightFleet(Fleet):
    """Server and intake in threads; the steward steps while something is waited for.

    Attributes:
        ahead_s: of the real time, by the clocks of intake and steward.
        heard: what the intake said.
    """

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.ahead_s = 0.0
        self.heard: list[str] = []
        self._over = threading.Event()
        self._database = open_database(self.folder.database_url)
        signers = [signer_of(self.folder.keys / f"{name}{KEY}") for name in (ONLINE, PLANS)]
        self._steward = Steward(self._database, PlanSigner(self.folder.releases, signers), self.clock, "test")
        manager = Manager(self.folder, self._database, Authority.open(self.folder.path))
        self._server = uvicorn.Server(configure(make_app(manager), server_context(self.folder.path)))
        self._threads = [threading.Thread(target=one) for one in (self._web, self._intake)]

    def clock(self) -> float:
        return time.time() + self.ahead_s

    def start(self) -> None:
        self.broker.start()
        for thread in self._threads:
            thread.start()
        wait_until(lambda: self._server.started, "the server")

    def stop(self) -> None:
        self.hang_up()
        self._server.should_exit = True
        self._over.set()
        for thread in self._threads:
            thread.join()
        self.broker.close()
        self._database.close()

    def until(self, so: Callable[[], object], what: str) -> None:
        """While the steward steps."""

        def stepped() -> object:
            trouble = self._steward.step().trouble
            assert not trouble, trouble
            return so()

        wait_until(stepped, f"{what} (the intake: {self.heard})")

    def until_planned(self, device: str) -> None:
        """Until a plan lies there for it."""
        plan = self.folder.releases / "plans" / f"{device}.json"
        self.until(plan.exists, f"a plan for {device}")

    def pass_by(self, seconds: float) -> None:
        """So much time, while a steward looks; time in which none did is nobody's silence."""
        until_s = self.ahead_s + seconds
        while self.ahead_s < until_s:
            self.ahead_s = min(until_s, self.ahead_s + 20)
            self._steward.step()

    def _web(self) -> None:
        at = self.folder.settings
        with socket.create_server((at.host, at.port)) as listening:
            self._server.run([listening])

    def _intake(self) -> None:
        assert self.folder.settings.mqtt is not None
        intake = Intake(self._database, self.folder.settings.mqtt, self.heard.append, "intake-1", self.clock)
        while not self._over.is_set():
            intake.step()
        intake.stop()


class LightBox:
    """A box that believes what is signed for it, and says in its ledger what it is told to say."""

    def __init__(self, place: Path, fleet: LightFleet, device: str) -> None:
        self.device, self._state = device, place / device
        self.identity = enrol(read_code(fleet.code(device)), device, self._state)
        self._trust = TrustStore(self._state / "trust")
        self._trust.begin(self.identity.root.read_bytes())
        self._ledger, _ = open_ledger(self._state, Clock())
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    @property
    def source(self) -> HttpSource:
        return HttpSource(f"{self.identity.fleet.url}{RELEASES}", self.identity.ca, certificate=self.identity.own)

    @property
    def broker(self) -> BrokerSettings:
        own = self.identity.own
        return BrokerSettings(url=self.identity.fleet.broker, ca=self.identity.ca, certificate=own, key=own)

    def planned(self) -> list[str]:
        """What its plan names, verified down to the root that it was given; nothing where there is no plan."""
        trusted = refresh(self.source, self._trust, utc_now)
        try:
            data = self.source.read(f"plans/{self.device}.json", MOST_PLAN_BYTES)
        except Refused as refused:
            if refused.attack is not Attack.MISSING:
                raise
            return []
        plan = read_plan(trusted, data, self.device, None, trusted_now(trusted, utc_now))
        return [f"{one.name}/{one.version}" for one in plan.releases]

    def tell(self, state: str, release: str = "b/1.0.0") -> None:
        """That an update ended so."""
        name, version = release.split("/")
        self._ledger.append([Entry(Kind.UPDATE, {"name": name, "version": version, "state": state, "why": "told"})])

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        with suppress(OSError):
            self._ledger.close()

    def _publish(self) -> None:
        view = LedgerView.open(self._state)
        publisher = Publisher(self.device, view, self.broker, {"agent": "light"}, lambda _: None)
        while not self._over.is_set():
            publisher.wake()
            publisher.step()
            self._over.wait(0.01)
        publisher.stop()
        view.close()
