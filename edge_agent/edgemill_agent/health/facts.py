"""What the line process knows of itself at one moment; what only the system knows, a check reads itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgemill_core.ledger import Kind


@dataclass(frozen=True)
class StationFacts:
    """Of one station; counts are since the agent was started.

    Attributes:
        source_kind: ``folder``, ``rows``, ….
        source_open: parts can come.
        engine_ready: it has answered, or could.
        over: the source has ended, or the agent ends.
        frames: parts that the source gave, or frames that came from a camera that runs by itself.
        unfit_in_a_row: pictures that could not be judged, up to now.
        unfit: what was wrong with the last one of them.
        late_in_a_row: late parts, up to now.
        alarm_after: late parts in a row after which the line is told.
        untold: verdicts that a controller did not take in time.
        trigger_connected: ``None`` where there is no trigger.
        output_troubles: of controllers that do not take what is written, in words.
    """

    name: str
    source_kind: str
    source_open: bool = True
    engine_ready: bool = True
    over: bool = False
    frames: int = 0
    verdicts: int = 0
    unfit_in_a_row: int = 0
    unfit: str = ""
    late: int = 0
    late_in_a_row: int = 0
    alarm_after: int = 3
    untold: int = 0
    source_restarts: int = 0
    engine_restarts: int = 0
    trigger_connected: bool | None = None
    output_troubles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """Of the box.

    Attributes:
        now_s: monotonic, seconds.
        utc_s: wall clock, seconds since 1970.
        state: the state folder.
        held: bytes of payloads and kept frames in the ledger, per kind.
        ledger_trouble: why it cannot be written, in words; empty if it can.
        connected: whether the link process has a broker; ``None`` where nothing is sent.
        not_acknowledged: records that the consumer does not have yet.
        jump: when (monotonic, seconds) and by how many seconds the wall clock jumped last.
        processes: ids by name; ``None`` for one that does not run.
        stations: by name.
    """

    now_s: float
    utc_s: float
    state: Path
    held: Mapping[Kind, int]
    ledger_trouble: str
    connected: bool | None
    not_acknowledged: int
    jump: tuple[float, float] | None
    processes: Mapping[str, int | None]
    stations: Mapping[str, StationFacts]
