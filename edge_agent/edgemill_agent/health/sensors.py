"""Reads temperatures and throttling below ``/sys``, on PCs, on Jetsons and on Raspberry Pis.

Sources: Documentation/ABI/stable/sysfs-class-thermal and testing/sysfs-class-thermal of Linux (zones, trip points,
cooling devices), Documentation/hwmon/sysfs-interface (millidegrees, ``crit``, ``fault``), Jetson Linux Developer Guide
(``oc*_event_cnt``), Raspberry Pi's firmware (``get_throttled``: bit 0 under-voltage, 1 capped, 2 throttled).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LOWEST_C, _HIGHEST_C = -60.0, 200.0
"""What lies outside comes from a sensor that is not there."""
_PI = "devices/platform/soc/soc:firmware/get_throttled"
_PI_NOW = {0: "the voltage is too low", 1: "the frequency is capped", 2: "the processor is throttled"}


@dataclass(frozen=True)
class Heat:
    """What the sensors say.

    Attributes:
        hottest_c: of all sensors; ``None`` if none can be read.
        sensor: which one.
        too_hot: sensors at or beyond the temperature that is critical for what they measure, in words.
        throttled: what holds the processor back now, in words.
        throttlings: how often it was held back since the box was started, where that is counted.
        counted: whether anything tells of throttling at all.
        capped: a core's highest frequency is below what it could be; a power mode does that too.
    """

    hottest_c: float | None
    sensor: str = ""
    too_hot: tuple[str, ...] = ()
    throttled: tuple[str, ...] = ()
    throttlings: int = 0
    counted: bool = False
    capped: bool = False


@dataclass(frozen=True)
class _Sensor:
    celsius: float
    sensor: str
    critical_c: float | None

    @property
    def beyond(self) -> str:
        """That it is too hot for what it measures; empty if not."""
        if self.critical_c is None or self.celsius < self.critical_c:
            return ""
        return f"{self.celsius:.0f} °C at {self.sensor}, critical from {self.critical_c:.0f} on"


def read_heat(sys: Path = Path("/sys")) -> Heat:
    """Everything that is to be had; a sensor that cannot be read is left out."""
    found = [*_zones(sys), *_chips(sys)]
    hottest = max(found, key=lambda one: one.celsius, default=None)
    counters = _numbers(sys, "devices/system/cpu/cpu*/thermal_throttle/*_throttle_count")
    counters += _numbers(sys, "class/hwmon/hwmon*/oc*_event_cnt")
    cooling = list(sys.glob("class/thermal/cooling_device*"))
    pi = _text(sys / _PI)
    return Heat(
        hottest.celsius if hottest else None,
        hottest.sensor if hottest else "",
        tuple(one.beyond for one in found if one.beyond),
        (*_cooled(cooling), *_of_pi(pi)),
        sum(counters),
        bool(counters or cooling or pi),
        any(_is_capped(one) for one in sys.glob("devices/system/cpu/cpu*/cpufreq")),
    )


def _zones(sys: Path) -> Iterator[_Sensor]:
    for zone in sys.glob("class/thermal/thermal_zone*"):
        celsius = _celsius(zone / "temp")
        if celsius is not None:
            kinds = [kind for kind in zone.glob("trip_point_*_type") if _text(kind) == "critical"]
            limits = [_celsius(kind.with_name(kind.name.replace("_type", "_temp"))) for kind in kinds]
            yield _Sensor(celsius, _text(zone / "type") or zone.name, min(filter(None, limits), default=None))


def _chips(sys: Path) -> Iterator[_Sensor]:
    for path in sys.glob("class/hwmon/hwmon*/temp*_input"):
        celsius = _celsius(path)
        if celsius is not None and _text(_beside(path, "fault")) != "1":
            name = _text(path.parent / "name") or path.parent.name
            label = _text(_beside(path, "label")) or path.name.removesuffix("_input")
            yield _Sensor(celsius, f"{name} {label}", _celsius(_beside(path, "crit")) or None)


def _cooled(devices: list[Path]) -> Iterator[str]:
    for device in devices:
        kind, now = _text(device / "type"), _number(device / "cur_state")
        if now is not None and now > 0 and "fan" not in kind.lower():
            yield f"{kind or device.name} is held back by {now} steps"


def _of_pi(text: str) -> Iterator[str]:
    try:
        bits = int(text, 16) if text else 0
    except ValueError:
        return
    yield from (word for bit, word in _PI_NOW.items() if bits >> bit & 1)


def _is_capped(frequencies: Path) -> bool:
    most, allowed = _number(frequencies / "cpuinfo_max_freq"), _number(frequencies / "scaling_max_freq")
    return most is not None and allowed is not None and allowed < most


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name.rpartition('_')[0]}_{what}")


def _celsius(path: Path) -> float | None:
    milli = _number(path)
    celsius = None if milli is None else milli / 1000
    return celsius if celsius is not None and _LOWEST_C < celsius < _HIGHEST_C else None


def _numbers(sys: Path, pattern: str) -> list[int]:
    return [found for path in sys.glob(pattern) if (found := _number(path)) is not None]


def _number(path: Path) -> int | None:
    try:
        return int(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # not there, or the driver says that it cannot read its sensor now
        return ""
