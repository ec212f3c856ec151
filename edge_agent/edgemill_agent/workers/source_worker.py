"""Takes parts from a source into the frame ring, as slots come free or as the line wants them; writes kept frames."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgemill_agent.frame_ring import FrameRing
from edgemill_agent.processes.priority import WORKER, stand_back
from edgemill_agent.sources import Source, source_class
from edgemill_agent.sources.base import Arrival, too_large
from edgemill_agent.workers.newest import Newest, give_newest
from edgemill_core.durable import sha256_bytes, write_bytes
from edgemill_core.errors import InputError
from edgemill_core.processes.channel import Channel
from edgemill_core.processes.child_main import child_main


def work(channel: Channel, first: Mapping[str, Any]) -> None:
    """Until the line process is gone.

    First message: ``kind``, ``settings``, ``after``, ``ring`` (descriptor), ``slot_bytes``, ``free`` (slots), ``state``
    (folder), ``keep`` (a frame that an earlier worker was to keep, or ``None``), ``wants`` (of a live source, what an
    earlier one did not answer). Sends ``{"open": true}`` once parts can come, ``{"item", "slot", "shape", "context"}``,
    with ``"fields"`` or ``"fault"`` instead of the shape where there is no frame, and ``"ask"`` where the source wants
    to be told the verdict, and ``{"end": true}``; gets ``{"free": slot}``, ``{"keep": slot, "shape", "file"}``, which
    it answers with ``{"kept": file, "sha256", "bytes"}`` or ``{"kept", "fault"}``, and ``{"answer": ask, …}``.
    What a live source says and hears besides stands in ``workers.newest``.
    """
    source = source_class(first["kind"])(first["settings"], first["after"], channel.send)
    ring = FrameRing(first["ring"], first["slot_bytes"])
    free: deque[int] = deque(first["free"])

    def obey(message: Mapping[str, Any]) -> None:
        if "keep" in message:
            channel.send(_kept(message, ring, Path(first["state"])))
        elif "answer" in message:
            source.answered(message)
        else:
            free.append(message["free"])

    if first["keep"] is not None:
        obey(first["keep"])
    if source.live:

        def give(arrival: Arrival, want: int, counted: dict[str, int]) -> None:
            channel.send({**_told(arrival, ring, free), "want": want, **counted})

        give_newest(channel, source, Newest(give, free, first["wants"]), obey)
    else:
        channel.send({"open": True})
        _give_all(channel, source, ring, free, obey)


def _give_all(
    channel: Channel,
    source: Source,
    ring: FrameRing,
    free: deque[int],
    obey: Callable[[Mapping[str, Any]], None],
) -> None:
    for arrival in source.parts():
        while channel.waiting() or not free:
            message = channel.receive()
            if message is None:
                return
            obey(message)
        if arrival is not None and source.hand_over(arrival):
            channel.send(_told(arrival, ring, free))
    channel.send({"end": True})
    while (message := channel.receive()) is not None:
        obey(message)


def _kept(asked: Mapping[str, Any], ring: FrameRing, state: Path) -> dict[str, Any]:
    from edgemill_runtimes.frames import encode_png  # a source without pictures needs no OpenCV

    told: dict[str, Any] = {"kept": asked["file"]}
    try:
        content = encode_png(ring.read(asked["keep"], tuple(asked["shape"])))
        write_bytes(state / asked["file"], content)
    except (OSError, InputError) as error:
        return {**told, "fault": str(error)}
    return {**told, "sha256": sha256_bytes(content), "bytes": len(content)}


def _told(arrival: Arrival, ring: FrameRing, free: deque[int]) -> dict[str, Any]:
    # A part without a picture takes a slot too, so that a folder full of them cannot run ahead of the line.
    slot = free.popleft()
    told: dict[str, Any] = {"item": arrival.item, "context": dict(arrival.context), "slot": slot}
    if arrival.ask:
        told["ask"] = arrival.ask
    if arrival.captured_ns:
        told["captured_ns"] = arrival.captured_ns
    if arrival.fields is not None:
        return {**told, "fields": dict(arrival.fields)}
    frame = arrival.convert() if arrival.convert is not None else arrival.frame
    if frame is None:
        return {**told, "fault": arrival.fault}
    if frame.nbytes > ring.slot_bytes:
        return {**told, "fault": too_large(frame.nbytes, ring.slot_bytes)}
    ring.write(slot, frame)
    return {**told, "shape": list(frame.shape)}


if __name__ == "__main__":
    stand_back(WORKER)
    child_main(work)
