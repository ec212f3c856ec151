"""``health:`` in ``agent.yaml``: from where on something is not well."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import ByteSize, Field

from edgemill_agent.duration import Duration
from edgemill_core.validation import Strict


class HealthSettings(Strict):
    """Limits of the checks.

    Attributes:
        every: from one look to the next, 1s to 30s.
        mend: whether checks may restart a worker; else they only say so.
        disk_free: bytes that are left free on the disk of the state folder; fewer are an alarm.
        temperature_c: of the hottest sensor, in degrees Celsius; 10 more are an alarm.
        clock_alone: for how long the clock may be without a time server.
        no_frame: for how long a camera may be without a picture.
        broker_gone: for how long the broker may be away.
        memory_creep_mb_per_hour: by how much a process may grow, in MB (2^20 bytes) an hour, as a robust slope.
        memory_grown_mb: one that creeps and has grown by more than this is restarted.
        memory_window: over which the slope is taken; it is judged once half of that has gone by.
        late_share: of the verdicts of five minutes that may be late.
    """

    every: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(seconds=30))] = timedelta(seconds=5)
    mend: bool = True
    disk_free: ByteSize = ByteSize(256 << 20)
    temperature_c: Annotated[float, Field(ge=20, le=150)] = 85.0
    clock_alone: Duration = timedelta(hours=1)
    no_frame: Duration = timedelta(seconds=60)
    broker_gone: Duration = timedelta(hours=1)
    memory_creep_mb_per_hour: Annotated[float, Field(gt=0)] = 32.0
    memory_grown_mb: Annotated[float, Field(gt=0)] = 256.0
    memory_window: Duration = timedelta(hours=1)
    late_share: Annotated[float, Field(gt=0, le=1)] = 0.01
