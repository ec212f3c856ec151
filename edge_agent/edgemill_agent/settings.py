"""``agent.yaml``: what this box does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from edgemill_agent.sources import SOURCES
from edgemill_core.errors import SettingsError
from edgemill_core.validation import first_complaint
from edgemill_core.yaml_lines import line_of, read_yaml
from edgemill_link.broker_settings import BrokerSettings

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class Strict(BaseModel):
    """Base of all parts of the settings: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
        labels: CSV with the columns file and expected: the code that each picture should carry.
        once: end when every picture that is there was taken.
        slots: frames that may wait.
        max_frame_bytes: of a decoded picture (height x width x 3).
    """

    folder: Path
    labels: Path | None = None
    once: bool = False
    slots: Annotated[int, Field(ge=1, le=64)] = 4
    max_frame_bytes: Annotated[int, Field(ge=1024, le=256 << 20)] = 8 << 20

    @property
    def kind(self) -> str:
        """Its name in the table of sources."""
        return next(name for name in SOURCES if getattr(self, name, None) is not None)


class StationSettings(Strict):
    """One job: source, bundle, and what must hold.

    Attributes:
        name: unique on the box.
        bundle: folder of the bundle.
        runtime: which of its variants; the best one that is installed if not said.
        source: where parts come from.
        deadline_ms: from a part's arrival to its verdict; after that the part is ``late``.
        late: what a part is that got no verdict in time, or none at all.
        hang_ms: an engine that takes longer than this over one part is killed and started again.
        start_ms: so is one that takes longer than this to load and compile.
    """

    name: Name
    bundle: Path
    runtime: str | None = None
    source: SourceSettings
    deadline_ms: Annotated[int, Field(ge=1, le=3_600_000)] | None = None
    late: Literal["reject", "uncertain"] = "reject"
    hang_ms: Annotated[int, Field(ge=10, le=3_600_000)] = 10_000
    start_ms: Annotated[int, Field(ge=1000, le=36_000_000)] = 120_000


class AgentSettings(Strict):
    """Everything the agent needs to know. Relative paths are relative to the file.

    Attributes:
        device: who this box is.
        state: folder of the ledger and of all else that must outlive the process.
        mqtt: the broker; without one the ledger is kept and nothing is sent.
        stations: at least one.
        drain_s: seconds that a stop may take to finish parts and deliver records.
    """

    device: DeviceSettings
    state: Path = Path("state")
    mqtt: BrokerSettings | None = None
    stations: Annotated[tuple[StationSettings, ...], Field(min_length=1)]
    drain_s: Annotated[float, Field(ge=0, le=3600)] = 10.0

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
            update={"bundle": folder / station.bundle, "source": _absolute_source(station.source, folder)}
        )
        for station in settings.stations
    )
    mqtt = settings.mqtt
    if mqtt is not None:
        files = ("ca", "certificate", "key", "password_file")
        mqtt = mqtt.model_copy(update={name: folder / found for name in files if (found := getattr(mqtt, name))})
    return settings.model_copy(update={"state": folder / settings.state, "stations": stations, "mqtt": mqtt})


def _absolute_source(source: SourceSettings, folder: Path) -> SourceSettings:
    labels = folder / source.labels if source.labels else None
    return source.model_copy(update={"folder": folder / source.folder, "labels": labels})
