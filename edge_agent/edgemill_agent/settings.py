"""``agent.yaml``: what this box does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    ByteSize,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from edgemill_agent.duration import Duration
from edgemill_agent.fleet_identity import with_identity
from edgemill_agent.health.settings import HealthSettings
from edgemill_agent.ledger import Ages
from edgemill_agent.ledger.store import LEAST_QUOTA, QUOTA
from edgemill_agent.plc.settings import OutputSettings, TriggerSettings
from edgemill_agent.sources import LIVE, SOURCES
from edgemill_agent.updating.slots import PREFIX, Installed, bundle_folder, read_slots
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import Kind
from edgemill_core.picture_quality import PictureQuality
from edgemill_core.statistics.sequential import SequentialTest, sequential_test
from edgemill_core.validation import Strict, first_complaint
from edgemill_core.yaml_lines import line_of, read_yaml
from edgemill_link.broker_settings import BrokerSettings

AnyController = TypeVar("AnyController", TriggerSettings, OutputSettings)
_ONLY_FOR = {
    "labels": ("folder",),
    "loop": ("folder", "video"),
    "once": ("folder", "rows", "video", "replay"),
    "station": ("replay",),
    "rtsp_transport": ("rtsp",),
    "timeout_ms": ("rtsp", "usb"),
    "latency_ms": ("rtsp", "usb"),
    "size": ("usb",),
    "fps": ("usb",),
}
"""Keys of a source that mean something to some kinds only."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
LEAST_RATE = 4096
"""Bytes per second: slower is not worth being begun."""


class DeviceSettings(Strict):
    """Who this box is.

    Attributes:
        id: unique in the fleet; part of MQTT topics.
        site: where it stands.
    """

    id: Name
    site: str = ""


class PushSettings(Strict):
    """Pictures that programs on this box send, ``POST /frames``.

    Attributes:
        port: TCP, on 127.0.0.1 only: whoever may send a picture decides what is judged.
        wait_ms: longest that the sender waits for the verdict.
    """

    port: Annotated[int, Field(ge=1, le=65_535)]
    wait_ms: Annotated[int, Field(ge=10, le=600_000)] = 10_000


class SourceSettings(Strict):
    """Where parts come from; exactly one kind is named.

    Attributes:
        folder: pictures, taken in the order of their names, once each; new ones are seen as they come.
        rows: a CSV file of requests, taken in its order, once each; the first column names the request and rises.
        video: a video file; each frame is a part, in order.
        rtsp: URL of a camera that runs by itself; a station takes the newest picture.
        usb: device of a camera on the box, ``/dev/videoN``, likewise.
        push: pictures that programs on this box send, and whose verdict they wait for.
        replay: state folder of an agent, whose kept frames are judged once more, each once.
        labels: CSV with the columns file and expected: the code that each picture should carry.
        once: end when every picture that is there was taken.
        loop: give the pictures that are there again and again: a line to try things out on.
        station: of a replay: frames of this station only.
        rtsp_transport: ``tcp``, or ``udp``, where lost packets damage pictures.
        timeout_ms: a camera that takes longer to open, or from one picture to the next, is opened again.
        latency_ms: how long a camera's picture is under way to the box; that much older it is than its arrival.
        size: of a USB camera's pictures, as in ``1280x720``; the camera's own choice if not said.
        fps: its pictures per second, likewise.
        slots: frames that may wait.
        max_frame_bytes: of a decoded picture (height x width x 3).
    """

    folder: Path | None = None
    rows: Path | None = None
    video: Path | None = None
    rtsp: Annotated[str, Field(pattern=r"^rtsps?://[^\s/]")] | None = None
    usb: Annotated[str, Field(pattern=r"^/dev/\S+$")] | None = None
    push: PushSettings | None = None
    replay: Path | None = None
    labels: Path | None = None
    once: bool = False
    loop: bool = False
    station: Name | None = None
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    timeout_ms: Annotated[int, Field(ge=100, le=600_000)] = 5000
    latency_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    size: Annotated[str, Field(pattern=r"^\d{1,5}x\d{1,5}$")] | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    slots: Annotated[int, Field(ge=1, le=64)] = 4
    max_frame_bytes: Annotated[int, Field(ge=1024, le=256 << 20)] = 8 << 20

    @model_validator(mode="after")
    def _one_kind(self) -> SourceSettings:
        if sum(getattr(self, name) is not None for name in SOURCES) != 1:
            raise ValueError(f"name exactly one of: {', '.join(SOURCES)}")
        for key, kinds in _ONLY_FOR.items():
            if key in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{key} is for {' or '.join(kinds)}")
        if self.loop and self.once:
            raise ValueError("loop goes on without end, once ends: name one")
        return self

    @property
    def live(self) -> bool:
        """Whether it is a camera that runs by itself: a picture is taken when one is wanted."""
        return self.kind in LIVE

    @property
    def kind(self) -> str:
        """Its name in the table of sources."""
        return next(name for name in SOURCES if getattr(self, name, None) is not None)

    @property
    def gives(self) -> str:
        """What its parts are: ``numbers`` or ``pictures``."""
        return "numbers" if self.rows is not None else "pictures"


class EvidenceSettings(Strict):
    """Which frames are kept beside the ledger, for people and for training.

    Attributes:
        keep: any of ``pass``, ``reject``, ``uncertain``, ``late``, ``disputed`` (a challenger decided otherwise), and a
            share of all parts such as ``1%``.
        max_bytes: that the frames of this station take at most, e.g. ``2GiB``; its oldest ones go first.
        max_age: for how long they are kept, in time that the agent ran.
    """

    keep: Annotated[tuple[str, ...], Field(min_length=1)]
    max_bytes: Annotated[ByteSize, Field(ge=1 << 16)] | None = None
    max_age: Duration | None = None

    @field_validator("keep")
    @classmethod
    def _known(cls, keep: tuple[str, ...]) -> tuple[str, ...]:
        for word in keep:
            if not re.fullmatch(r"pass|reject|uncertain|late|disputed|\d{1,2}(\.\d+)?%|100%", word):
                raise ValueError(f"pass | reject | uncertain | late | disputed | a share such as 1%, not {word!r}")
        return keep

    def wants(self, number: int, decision: str, late: bool, disputed: bool = False) -> bool:
        """Whether the frame of this part is kept. Of every 10,000 numbers, a share takes the same ones each time."""
        shares = [float(word[:-1]) for word in self.keep if word.endswith("%")]
        drawn = number * 7919 % 10_000 < 100 * max(shares, default=0.0)
        said = {decision, *(["late"] if late else []), *(["disputed"] if disputed else [])}
        return drawn or not said.isdisjoint(self.keep)


class RetentionSettings(Strict):
    """For how long what is kept, and how much disk it may take; the time is that which the agent ran.

    Attributes:
        quota: bytes for ledger and kept frames together, e.g. ``4GiB``. When it runs out, metrics go first, then
            frames, then payloads of verdicts, the oldest first; each eviction is declared.
        headers: the chain itself, and with it every trace of a verdict.
        payloads: verdicts with reasons and readings, a challenger's too.
        metrics: what the box counted of itself.
        evidence: kept frames.
    """

    quota: Annotated[ByteSize, Field(ge=LEAST_QUOTA)] = ByteSize(QUOTA)
    headers: Duration = timedelta(days=1095)
    payloads: Duration = timedelta(days=1095)
    metrics: Duration = timedelta(days=90)
    evidence: Duration = timedelta(days=30)

    def ages(self, stations: Sequence[StationSettings]) -> Ages:
        """In the ledger's words."""
        own = {s.name: s.evidence.max_age.total_seconds() for s in stations if s.evidence and s.evidence.max_age}
        kinds = {
            Kind.METRICS: self.metrics,
            Kind.SHADOW: self.payloads,
            Kind.EVIDENCE: self.evidence,
            Kind.VERDICT: self.payloads,
        }
        return Ages({kind: age.total_seconds() for kind, age in kinds.items()}, self.headers.total_seconds(), own)


class EngineChoice(Strict):
    """What an engine worker runs.

    Attributes:
        bundle: its folder.
        runtime: which of its variants; the best one that is installed if not said.
        tune: settings of the bundle's task that this box has of its own; the engine is proved with them.
    """

    bundle: Path
    runtime: str | None = None
    tune: dict[str, Any] = Field(default_factory=dict)


class ShadowSettings(Strict):
    """How often a new release may decide otherwise than what judges, before it is tried: a sequential test.

    Attributes:
        most_disagreement: share of the parts, up to which a release goes on trial.
        stop_at: share of the parts, from which on it is refused.
        errors: probability that the test errs, either way, at just these shares; beyond them it is less.
    """

    most_disagreement: Annotated[float, Field(gt=0, lt=1)] = 0.01
    stop_at: Annotated[float, Field(gt=0, lt=1)] = 0.05
    errors: Annotated[float, Field(ge=1e-6, le=0.2)] = 0.01

    @property
    def test(self) -> SequentialTest:
        """Whose ``HIGH`` refuses a release, and whose ``LOW`` lets it go on trial."""
        return sequential_test(self.most_disagreement, self.stop_at, self.errors, self.errors)

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> ShadowSettings:
        if self.most_disagreement >= self.stop_at:
            raise ValueError("most_disagreement is less than stop_at")
        _ = self.test
        return self


class SwapSettings(Strict):
    """How one engine follows another while the line runs.

    Attributes:
        shadow: a new release looks on first, until a test of how often it decides otherwise has concluded; if not
            said, it goes on trial at once.
        trial_parts: verdicts in time of the new engine after which the old one is ended; until then it is the way back.
        trial_minutes: after which it is ended too, if one verdict of the new engine came in time, and the last did: for
            a line that is slow. Only parts count if not said.
        max_memory: resident bytes of all engine workers of the station together; a new one that would take more is
            ended before it judges anything, and so is a challenger. Not limited if not said.
    """

    shadow: ShadowSettings | None = None
    trial_parts: Annotated[int, Field(ge=1, le=1_000_000)] = 100
    trial_minutes: Annotated[float, Field(gt=0, le=10_080)] | None = None
    max_memory: Annotated[ByteSize, Field(ge=1 << 20)] | None = None


def _per_second(said: Any) -> Any:
    if not isinstance(said, str):
        return said
    size, _, per = said.partition("/")
    if per not in ("", "s"):
        raise ValueError("bytes per second, as in 2MB/s")
    return size


class ProofSettings(Strict):
    """What this box must find out about an engine before it judges.

    Attributes:
        may_differ: golden samples that it may decide otherwise than at build, where one lies on the border; the outputs
            must be within tolerance all the same.
    """

    may_differ: Annotated[int, Field(ge=0, le=10_000)] = 0


class FleetSettings(Strict):
    """Where updates come from.

    Attributes:
        identity: ``auto``: all of this, and ``mqtt:``, from what the fleet gave when it let this box in.
        trust: the root that the release keys were made with; believed at the first update, and followed from there.
        url: of the folder of releases, by HTTP or HTTPS; not needed where they come on a stick.
        ca: certificates to believe instead of the system's.
        rate: bytes per second that updates take of the network at most, e.g. ``2MB/s``; not limited if not said.
        every: the running agent looks for updates by itself, so often; only ``edgemill agent update`` does if not said.
        certificate: shown to a server that asks for one; PEM, with its key in the same file.
    """

    identity: Literal["auto"] | None = None
    trust: Path | None = None
    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    ca: Path | None = None
    rate: Annotated[ByteSize, Field(ge=LEAST_RATE), BeforeValidator(_per_second)] | None = None
    every: Annotated[Duration, Field(ge=timedelta(seconds=1))] | None = None
    certificate: Path | None = None

    @model_validator(mode="after")
    def _trusts_somebody(self) -> FleetSettings:
        if self.identity is None and self.trust is None:
            raise ValueError("trust: root.json of the releases, or identity: auto for a box that was let in")
        if self.every is not None and self.url is None and self.identity is None:
            raise ValueError("every needs a url: a stick is not there by itself")
        return self


class StationSettings(Strict):
    """One job: source, bundle, and what must hold.

    Attributes:
        name: unique on the box.
        bundle: folder of the bundle; or ``release:NAME``, what updates installed under this name.
        runtime: which of its variants; the best one that is installed if not said.
        tune: settings of the bundle's task that this box has of its own; the engine is proved with them at each start.
        source: where parts come from.
        deadline_ms: from a part's arrival to its verdict; after that the part is ``late``.
        late: what a part is that got no verdict in time, or none at all.
        hang_ms: an engine that takes longer than this over one part is killed and started again.
        start_ms: so is one that takes longer than this to load and compile.
        evidence: which frames are kept; none if not said.
        quality: what a picture must be like before the engine is asked about it.
        trigger: what says that a part is there; if not said, a picture is a part.
        outputs: where verdicts go besides the ledger.
        alarm_after: late parts in a row after which the line is told.
        mode: an engine that is quick over one part, or, ``throughput``, at several parts at once: more parts in the
            same time, each of which takes longer.
        swap: how a new engine takes over.
        proof: what must hold of a new engine before.
        shadow: a challenger, which sees the same parts; what it says goes into the ledger and nowhere else.
        products: engines by the controller's number of the product; ``bundle``, ``runtime`` and ``tune`` above are
            for the time before the controller named one.
    """

    name: Name
    bundle: Path
    runtime: str | None = None
    tune: dict[str, Any] = Field(default_factory=dict)
    source: SourceSettings
    deadline_ms: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    late: Literal["reject", "uncertain"] = "reject"
    hang_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 10_000
    start_ms: Annotated[int, Field(ge=1000, le=36_000_000)] = 120_000
    evidence: EvidenceSettings | None = None
    quality: PictureQuality | None = None
    trigger: TriggerSettings | None = None
    outputs: tuple[OutputSettings, ...] = ()
    alarm_after: Annotated[int, Field(ge=1, le=1000)] = 3
    mode: Literal["latency", "throughput"] = "latency"
    swap: SwapSettings = SwapSettings()
    proof: ProofSettings = ProofSettings()
    shadow: EngineChoice | None = None
    products: dict[Annotated[int, Field(ge=0, le=0xFFFF_FFFF)], EngineChoice] = Field(default_factory=dict)

    @property
    def release(self) -> str | None:
        """The name whose slots say which bundle it is, in settings that were read for ``names``."""
        said = str(self.bundle)
        return said.removeprefix(PREFIX) if said.startswith(PREFIX) else None

    @property
    def engine(self) -> EngineChoice:
        """What judges until another engine is asked for."""
        return EngineChoice(bundle=self.bundle, runtime=self.runtime, tune=self.tune)

    @model_validator(mode="after")
    def _in_time(self) -> StationSettings:
        if self.trigger is not None and self.deadline_ms is None:
            raise ValueError("a station with a trigger has a deadline_ms")
        eject = next((one.eject for one in self.outputs if one.eject is not None), None)
        if eject is not None and (self.trigger is None or not self.trigger.tells_encoder):
            raise ValueError("eject needs a trigger with an encoder: where the belt is when a part is seen")
        if self.quality is not None and self.source.gives != "pictures":
            raise ValueError("quality is for a source that gives pictures")
        if (self.shadow is not None or self.swap.shadow is not None) and self.source.slots < 2:
            raise ValueError("a challenger holds a frame of its own: source.slots is 2 at least")
        if self.swap.shadow is not None and self.products:
            raise ValueError("swap.shadow is for a station without products, where one release judges every part")
        return self

    def keeps(self, number: int, decision: str, late: bool, disputed: bool) -> bool:
        """Whether the frame of this part is kept; where releases look on, what they dispute always is."""
        if disputed and self.swap.shadow is not None:
            return True
        return self.evidence is not None and self.evidence.wants(number, decision, late, disputed)


class HttpSettings(Strict):
    """Where figures are served to Prometheus, at ``/metrics``.

    Attributes:
        port: TCP.
        host: address to listen on; the box itself if not said, because the page asks nobody who they are.
    """

    port: Annotated[int, Field(ge=1, le=65_535)]
    host: str = "127.0.0.1"


class AgentSettings(Strict):
    """Everything the agent needs to know. Relative paths are relative to the file.

    Attributes:
        device: who this box is.
        state: folder of the ledger and of all else that must outlive the process.
        plans: folder of what TensorRT compiled for this box; ``plans`` in the state folder if not said.
        mqtt: the broker; without one the ledger is kept and nothing is sent.
        http: where figures are served; nowhere if not said.
        stations: at least one.
        drain_s: seconds that a stop may take to finish parts and deliver records.
        retention: for how long what is kept, and on how much disk.
        metrics_s: seconds from one record of metrics to the next.
        silent_s: a source worker or link process that shows no sign of life for longer than this is started again.
        health: from where on the box is not well.
        fleet: where updates come from.
    """

    device: DeviceSettings
    state: Path = Path("state")
    plans: Path | None = None
    mqtt: BrokerSettings | None = None
    http: HttpSettings | None = None
    stations: Annotated[tuple[StationSettings, ...], Field(min_length=1)]
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    retention: RetentionSettings = RetentionSettings()
    metrics_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    silent_s: Annotated[float, Field(ge=5, le=3600)] = 15.0
    health: HealthSettings = HealthSettings()
    fleet: FleetSettings | None = None

    @property
    def keeps_deadlines(self) -> bool:
        """Whether parts at some station must have their verdict in time."""
        return any(station.deadline_ms is not None for station in self.stations)

    @property
    def plan_store(self) -> Path:
        """Where plans of TensorRT are looked for, and put."""
        return self.plans or self.state / "plans"

    @field_validator("stations")
    @classmethod
    def _each_once(cls, stations: tuple[StationSettings, ...]) -> tuple[StationSettings, ...]:
        names = [station.name for station in stations]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"each station has its own name; twice: {', '.join(doubled)}")
        devices = [station.source.usb for station in stations if station.source.usb is not None]
        if len(set(devices)) < len(devices):
            raise ValueError("a USB camera serves one station; an RTSP server in front of it serves many")
        return stations

    @model_validator(mode="after")
    def _within_the_box(self) -> AgentSettings:
        for station in self.stations:
            own = station.evidence
            if own and own.max_age and own.max_age > self.retention.evidence:
                raise ValueError(
                    f"max_age of {station.name} is more than `evidence:` under `retention:`; raise that too"
                )
            if own and own.max_bytes and own.max_bytes > self.retention.quota:
                raise ValueError(
                    f"max_bytes of {station.name} is more than `quota:` under `retention:`; raise that too"
                )
        return self


def read_settings(path: Path, use: Literal["active", "trial", "names"] = "active") -> AgentSettings:
    """Read and check ``agent.yaml``.

    Args:
        use: which bundle a station runs where that is a release's name: the active one, or with ``trial`` what is on
            trial if anything is, and with it what looks on as the challenger; with ``names`` the name is left as it is.

    Raises:
        SettingsError: unreadable, an unknown or missing key, a value out of range, a release of which nothing is
            installed, or the identity of a box that was not let in; the message names the line.
    """
    settings = with_identity(read_written(path))
    if use != "names":
        installed = tuple(_installed(settings.state, station, use == "trial") for station in settings.stations)
        settings = settings.model_copy(update={"stations": installed})
    return settings


def read_written(path: Path) -> AgentSettings:
    """The settings as they are written, before anything that lies in the state folder counts.

    Raises:
        SettingsError: as for ``read_settings``.
    """
    raw, lines = read_yaml(path, "agent settings", SettingsError)
    try:
        settings = AgentSettings.model_validate(raw)
    except ValidationError as error:
        where, expected, got = first_complaint(error)
        line = line_of(lines, where)
        raise SettingsError(
            f"{path}{f', line {line}' if line else ''}: wrong at {where!r}",
            expected=expected,
            got=got,
            fix="mend the line; docs/guide/agent.md explains each key",
        ) from error
    settings = _absolute(settings, path.resolve().parent)
    for station in settings.stations:
        if station.source.replay is not None and station.source.replay.resolve() == settings.state.resolve():
            raise SettingsError(
                f"{path}: the station {station.name} replays what this agent itself keeps, without end",
                expected="another agent's state folder, or a copy",
                got=str(station.source.replay),
                fix="give this agent another `state:`",
            )
    return settings


def _installed(state: Path, station: StationSettings, trial: bool) -> StationSettings:
    """The station with a folder in the place of a release's name."""
    if station.release is None:
        return station
    slots = read_slots(state, station.release)
    found = slots.now(trial)
    if found is None:
        raise SettingsError(
            f"station {station.name}: nothing of the release {station.release} is installed",
            expected=f"a bundle in {state / 'slots' / station.release}",
            got="none",
            fix="install what the plan for this device names: edgemill agent update agent.yaml",
        )
    update: dict[str, object] = {"bundle": bundle_folder(state, found), "runtime": station.runtime or found.runtime}
    if trial and slots.shadow is not None and station.swap.shadow is not None:
        update["shadow"] = _looking_on(state, station, slots.shadow)
    return station.model_copy(update=update)


def _looking_on(state: Path, station: StationSettings, release: Installed) -> EngineChoice:
    """A release as the challenger, in the place of one that the station may have, until it is decided."""
    folder, runtime = bundle_folder(state, release), station.runtime or release.runtime
    return EngineChoice(bundle=folder, runtime=runtime, tune=station.tune)


def _absolute(settings: AgentSettings, folder: Path) -> AgentSettings:
    stations = tuple(
        station.model_copy(
            update={
                "bundle": station.bundle if station.release else folder / station.bundle,
                "shadow": _absolute_engine(station.shadow, folder) if station.shadow else None,
                "products": {code: _absolute_engine(one, folder) for code, one in station.products.items()},
                "source": _absolute_source(station.source, folder),
                "quality": _absolute_quality(station.quality, folder),
                "trigger": _absolute_controller(station.trigger, folder) if station.trigger else None,
                "outputs": tuple(_absolute_controller(one, folder) for one in station.outputs),
            }
        )
        for station in settings.stations
    )
    mqtt = _absolute_broker(settings.mqtt, folder)
    fleet = _absolute_fleet(settings.fleet, folder)
    plans = folder / settings.plans if settings.plans else None
    found = {"state": folder / settings.state, "plans": plans, "stations": stations, "mqtt": mqtt, "fleet": fleet}
    return settings.model_copy(update=found)


def _absolute_fleet(fleet: FleetSettings | None, folder: Path) -> FleetSettings | None:
    if fleet is None:
        return None
    files = ("trust", "ca", "certificate")
    return fleet.model_copy(update={name: folder / found for name in files if (found := getattr(fleet, name))})


def _absolute_broker(broker: BrokerSettings | None, folder: Path) -> BrokerSettings | None:
    if broker is None:
        return None
    files = ("ca", "certificate", "key", "password_file")
    return broker.model_copy(update={name: folder / found for name in files if (found := getattr(broker, name))})


def _absolute_controller(controller: AnyController, folder: Path) -> AnyController:
    return controller.model_copy(update={"mqtt": _absolute_broker(controller.mqtt, folder)})


def _absolute_source(source: SourceSettings, folder: Path) -> SourceSettings:
    named = {name: getattr(source, name) for name in ("folder", "rows", "video", "replay", "labels")}
    return source.model_copy(update={name: folder / path for name, path in named.items() if path is not None})


def _absolute_engine(choice: EngineChoice, folder: Path) -> EngineChoice:
    return choice.model_copy(update={"bundle": folder / choice.bundle})


def _absolute_quality(quality: PictureQuality | None, folder: Path) -> PictureQuality | None:
    if quality is None or quality.reference is None:
        return quality
    return quality.model_copy(update={"reference": folder / quality.reference})
