"""``agent.yaml``: what this box does."""

from __future__ import annotations

import re
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

from edgemill_agent.ledger import Ages
from edgemill_agent.ledger.store import LEAST_QUOTA, QUOTA
from edgemill_agent.plc.settings import OutputSettings, TriggerSettings
from edgemill_agent.sources import SOURCES
from edgemill_core.errors import SettingsError
from edgemill_core.ledger import Kind
from edgemill_core.picture_quality import PictureQuality
from edgemill_core.validation import Strict, first_complaint
from edgemill_core.yaml_lines import line_of, read_yaml
from edgemill_link.broker_settings import BrokerSettings

AnyController = TypeVar("AnyController", TriggerSettings, OutputSettings)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _duration(written: object) -> object:
    found = re.fullmatch(r"(\d+)([smhd])", written) if isinstance(written, str) else None
    if found is None:
        raise ValueError("a whole number with its unit: 90d, 12h, 30m or 45s")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class DeviceSettings(Strict):
    """Who this box is.

    Attributes:
        id: unique in the fleet; part of MQTT topics.
        site: where it stands.
    """

    id: Name
    site: str = ""


class SourceSettings(Strict):
    """Where parts come from; exactly one kind is named.

    Attributes:
        folder: pictures, taken in the order of their names, once each; new ones are seen as they come.
        rows: a CSV file of requests, taken in its order, once each; the first column names the request and rises.
        labels: CSV with the columns file and expected: the code that each picture should carry.
        once: end when every picture that is there was taken.
        loop: give the pictures that are there again and again: a line to try things out on.
        slots: frames that may wait.
        max_frame_bytes: of a decoded picture (height x width x 3).
    """

    folder: Path | None = None
    rows: Path | None = None
    labels: Path | None = None
    once: bool = False
    loop: bool = False
    slots: Annotated[int, Field(ge=1, le=64)] = 4
    max_frame_bytes: Annotated[int, Field(ge=1024, le=256 << 20)] = 8 << 20

    @model_validator(mode="after")
    def _one_kind(self) -> SourceSettings:
        if sum(getattr(self, name) is not None for name in SOURCES) != 1:
            raise ValueError(f"name exactly one of: {', '.join(SOURCES)}")
        if self.loop and (self.once or self.folder is None):
            raise ValueError("loop is for a folder, without once")
        return self

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
        keep: any of ``pass``, ``reject``, ``uncertain``, ``late``, and a share of all parts such as ``1%``.
    """

    keep: Annotated[tuple[str, ...], Field(min_length=1)]

    @field_validator("keep")
    @classmethod
    def _known(cls, keep: tuple[str, ...]) -> tuple[str, ...]:
        for word in keep:
            if not re.fullmatch(r"pass|reject|uncertain|late|\d{1,2}(\.\d+)?%|100%", word):
                raise ValueError(f"pass | reject | uncertain | late | a share such as 1%, not {word!r}")
        return keep

    def wants(self, number: int, decision: str, late: bool) -> bool:
        """Whether the frame of this part is kept. Of every 10,000 numbers, a share takes the same ones each time."""
        shares = [float(word[:-1]) for word in self.keep if word.endswith("%")]
        drawn = number * 7919 % 10_000 < 100 * max(shares, default=0.0)
        return decision in self.keep or (late and "late" in self.keep) or drawn


class RetentionSettings(Strict):
    """For how long what is kept, and how much disk it may take; the time is that which the agent ran.

    Attributes:
        quota: bytes for ledger and kept frames together, e.g. ``4GiB``. When it runs out, metrics go first, then
            frames, then payloads of verdicts, the oldest first; each eviction is declared.
        headers: the chain itself, and with it every trace of a verdict.
        payloads: verdicts with reasons and readings.
        metrics: what the box counted of itself.
        evidence: kept frames.
    """

    quota: Annotated[ByteSize, Field(ge=LEAST_QUOTA)] = ByteSize(QUOTA)
    headers: Duration = timedelta(days=1095)
    payloads: Duration = timedelta(days=1095)
    metrics: Duration = timedelta(days=90)
    evidence: Duration = timedelta(days=30)

    @property
    def ages(self) -> Ages:
        """In the ledger's words."""
        kinds = {Kind.METRICS: self.metrics, Kind.EVIDENCE: self.evidence, Kind.VERDICT: self.payloads}
        return Ages({kind: age.total_seconds() for kind, age in kinds.items()}, self.headers.total_seconds())


class StationSettings(Strict):
    """One job: source, bundle, and what must hold.

    Attributes:
        name: unique on the box.
        bundle: folder of the bundle.
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

    @model_validator(mode="after")
    def _in_time(self) -> StationSettings:
        if self.trigger is not None and self.deadline_ms is None:
            raise ValueError("a station with a trigger has a deadline_ms")
        eject = next((one.eject for one in self.outputs if one.eject is not None), None)
        if eject is not None and (self.trigger is None or not self.trigger.tells_encoder):
            raise ValueError("eject needs a trigger with an encoder: where the belt is when a part is seen")
        if self.quality is not None and self.source.gives != "pictures":
            raise ValueError("quality is for a source that gives pictures")
        return self


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
        mqtt: the broker; without one the ledger is kept and nothing is sent.
        http: where figures are served; nowhere if not said.
        stations: at least one.
        drain_s: seconds that a stop may take to finish parts and deliver records.
        retention: for how long what is kept, and on how much disk.
        metrics_s: seconds from one record of metrics to the next.
        silent_s: a source worker or link process that shows no sign of life for longer than this is started again.
    """

    device: DeviceSettings
    state: Path = Path("state")
    mqtt: BrokerSettings | None = None
    http: HttpSettings | None = None
    stations: Annotated[tuple[StationSettings, ...], Field(min_length=1)]
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    retention: RetentionSettings = RetentionSettings()
    metrics_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0
    silent_s: Annotated[float, Field(ge=5, le=3600)] = 15.0

    @field_validator("stations")
    @classmethod
    def _each_once(cls, stations: tuple[StationSettings, ...]) -> tuple[StationSettings, ...]:
        names = [station.name for station in stations]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"each station has its own name; twice: {', '.join(doubled)}")
        return stations


def read_settings(path: Path) -> AgentSettings:
    """Read and check ``agent.yaml``.

    Raises:
        SettingsError: unreadable, an unknown or missing key, or a value out of range; the message names the line.
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
    return _absolute(settings, path.resolve().parent)


def _absolute(settings: AgentSettings, folder: Path) -> AgentSettings:
    stations = tuple(
        station.model_copy(
            update={
                "bundle": folder / station.bundle,
                "source": _absolute_source(station.source, folder),
                "quality": _absolute_quality(station.quality, folder),
                "trigger": _absolute_controller(station.trigger, folder) if station.trigger else None,
                "outputs": tuple(_absolute_controller(one, folder) for one in station.outputs),
            }
        )
        for station in settings.stations
    )
    mqtt = _absolute_broker(settings.mqtt, folder)
    return settings.model_copy(update={"state": folder / settings.state, "stations": stations, "mqtt": mqtt})


def _absolute_broker(broker: BrokerSettings | None, folder: Path) -> BrokerSettings | None:
    if broker is None:
        return None
    files = ("ca", "certificate", "key", "password_file")
    return broker.model_copy(update={name: folder / found for name in files if (found := getattr(broker, name))})


def _absolute_controller(controller: AnyController, folder: Path) -> AnyController:
    return controller.model_copy(update={"mqtt": _absolute_broker(controller.mqtt, folder)})


def _absolute_source(source: SourceSettings, folder: Path) -> SourceSettings:
    named = {name: getattr(source, name) for name in ("folder", "rows", "labels")}
    return source.model_copy(update={name: folder / path for name, path in named.items() if path is not None})


def _absolute_quality(quality: PictureQuality | None, folder: Path) -> PictureQuality | None:
    if quality is None or quality.reference is None:
        return quality
    return quality.model_copy(update={"reference": folder / quality.reference})
