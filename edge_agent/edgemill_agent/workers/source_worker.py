"""Takes parts from a source into the frame ring, as fast as slots come free."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from edgemill_agent.frame_ring import FrameRing
from edgemill_agent.processes.channel import Channel
from edgemill_agent.processes.child_main import child_main
from edgemill_agent.sources import Source, source_class
from edgemill_agent.sources.base import Arrival


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the source ends or the line process is gone.

    First message: ``kind``, ``settings``, ``after``, ``ring`` (descriptor), ``slot_bytes``, ``free`` (slots). Sends
    ``{"item", "slot", "shape", "context"}``, or ``"fault"`` instead of ``"shape"``, and ``{"end": true}``; gets
    ``{"free": slot}``.
    """
    source: Source = source_class(first["kind"])(first["settings"], first["after"])
    ring = FrameRing(first["ring"], first["slot_bytes"])
    free: deque[int] = deque(first["free"])
    for arrival in source.parts():
        while channel.waiting() or not free:
            message = channel.receive()
            if message is None:
                return
            free.append(message["free"])
        if arrival is not None:
            channel.send(_told(arrival, ring, free))
    channel.send({"end": True})
    while channel.receive() is not None:
        pass


def _told(arrival: Arrival, ring: FrameRing, free: deque[int]) -> dict[str, Any]:
    # A part without a picture takes a slot too, so that a folder full of them cannot run ahead of the line.
    slot = free.popleft()
    told: dict[str, Any] = {"item": arrival.item, "context": dict(arrival.context), "slot": slot}
    frame = arrival.frame
    if frame is None:
        return {**told, "fault": arrival.fault}
    if frame.nbytes > ring.slot_bytes:
        return {**told, "fault": f"the picture takes {frame.nbytes} bytes, a slot has {ring.slot_bytes}"}
    ring.write(slot, frame)
    return {**told, "shape": list(frame.shape)}


if __name__ == "__main__":
    child_main(work)
